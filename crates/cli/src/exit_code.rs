//! The exit codes of the program, apart from those of gRPC refusals ([`of_grpc`]).

use tonic::Code;

/// The command did its work and found a problem, or did not reach its goal.
pub(crate) const FAILURE: u8 = 1;

/// Bad usage. clap exits with the same code.
pub(crate) const USAGE: u8 = 2;

/// A service that the command needs does not answer (`EX_UNAVAILABLE` of sysexits).
pub(crate) const UNAVAILABLE: u8 = 69;

/// An internal error (`EX_SOFTWARE` of sysexits).
pub(crate) const SOFTWARE: u8 = 70;

/// The configuration cannot work (`EX_CONFIG` of sysexits).
pub(crate) const CONFIG: u8 = 78;

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

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::of_grpc;

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
}
