//! What is under way, as it is watched: the stream against the truth of the store, the verbs, and the terminal.

mod screen;
mod truth;
mod verbs;
