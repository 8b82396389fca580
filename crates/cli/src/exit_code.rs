//! The exit codes of the program: one table for all commands, and no number that means
//! two things.

use tonic::Code;

/// The command did its work and found a problem, or did not reach its goal.
pub(crate) const FAILURE: u8 = 1;

/// Bad usage. clap exits with the same code.
pub(crate) const USAGE: u8 = 2;

/// It is done so far, and someone has to act: to promote, to resume, to scale.
pub(crate) const ACTION_NEEDED: u8 = 3;

/// `serve`, `agent` and the tools for databases: it can never work as it is configured.
/// Service managers must not start it again.
pub(crate) const CONFIG: u8 = 100;

/// `serve`, `agent` and the tools for databases: what the command needs does not answer
/// now. A later start may work.
pub(crate) const UNAVAILABLE: u8 = 101;

/// An internal error, such as a background task of the server that ended.
pub(crate) const SOFTWARE: u8 = 102;

/// The reader of stdout closed it: 128 + SIGPIPE.
pub(crate) const BROKEN_PIPE: u8 = 141;

/// The exit code of a call that the server refused: 64 + the number of the gRPC code.
/// NOT_FOUND is 69.
pub(crate) fn of_grpc(code: Code) -> u8 {
    // gRPC codes are 0 to 16, so that the conversion cannot fail.
    GRPC_BASE + u8::try_from(i32::from(code)).unwrap_or_default()
}

/// Exit codes of refused calls start here.
const GRPC_BASE: u8 = 64;

/// The table in `--help`. docs/cli.md has the same lines.
pub(crate) const TABLE: &str = "\
Exit codes:
  0    success
  1    the awaited result did not happen, a problem was found, or the answer was no
  2    wrong usage
  3    done so far, and someone has to act: promote, resume, scale
  64+N a call was refused with the gRPC code N: 67 INVALID_ARGUMENT,
       68 DEADLINE_EXCEEDED, 69 NOT_FOUND, 70 ALREADY_EXISTS,
       71 PERMISSION_DENIED, 72 RESOURCE_EXHAUSTED, 73 FAILED_PRECONDITION,
       74 ABORTED, 78 UNAVAILABLE, 80 UNAUTHENTICATED
  100  serve, agent, check, copy: it can never work as it is configured
  101  serve, agent, check, copy: a database or a server is away at the start
  102  an internal error
  129  the terminal was closed (SIGHUP)
  130  ended by Ctrl-C (SIGINT)
  141  the reader of stdout is gone (SIGPIPE)
  143  ended by SIGTERM";

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_refused_call_exits_with_64_and_its_code() {
        for (code, exit) in [
            (Code::InvalidArgument, 67),
            (Code::NotFound, 69),
            (Code::FailedPrecondition, 73),
            (Code::Aborted, 74),
            (Code::Unavailable, 78),
            (Code::Unauthenticated, 80),
        ] {
            assert_eq!(of_grpc(code), exit, "{code:?}");
        }
    }

    #[test]
    fn c9_no_number_means_two_things() {
        let refusals = (0..=16).map(|code| of_grpc(Code::from_i32(code)));
        let mut all: Vec<_> = refusals.collect();
        all.extend([FAILURE, USAGE, ACTION_NEEDED, CONFIG, UNAVAILABLE, SOFTWARE]);
        all.extend([129, 130, BROKEN_PIPE, 143]);
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "{all:?}");
    }

    #[test]
    fn c9_the_help_and_the_page_have_the_same_codes() {
        let page = include_str!("../../../docs/cli.md");
        for line in TABLE.lines().skip(1) {
            let code = line.split_whitespace().next().unwrap_or_default();
            // Lines without a code continue the one before.
            if line.starts_with("       ") {
                continue;
            }
            let row = format!("| {} |", code.replace('N', " n").replace('+', " +"));
            assert!(page.contains(&row), "docs/cli.md has no row {row}");
        }
        for code in [
            Code::InvalidArgument,
            Code::NotFound,
            Code::FailedPrecondition,
            Code::Aborted,
            Code::Unavailable,
        ] {
            let name = format!("{} {}", of_grpc(code), viridian_server::code_name(code));
            assert!(page.contains(&name), "docs/cli.md has no {name}");
            assert!(TABLE.contains(&name), "the help has no {name}");
        }
    }
}
