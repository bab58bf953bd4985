//! The qflow program: qflow dev and the client verbs.
