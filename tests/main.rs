//! End to end: the real program on a real port, talked to by a real client, on
//! both engines. Nothing is shared between two tests, and whatever a test starts
//! ends with it.

mod harness;

mod api_document;
mod automatic;
mod bad_input;
mod breaking;
mod buf_curl;
mod calls;
mod check;
mod cli;
mod clients;
mod contract;
mod demo;
mod descriptor_set;
mod drain;
mod grpcurl;
mod history;
mod hostile;
mod paging;
mod promote;
mod race;
mod race_health;
mod reports;
mod retained;
mod roll_back;
mod rolling;
mod serve;
mod shutdown;
mod side_by_side;
mod story;
mod terms;
mod update;
mod verbs;
mod watch;
