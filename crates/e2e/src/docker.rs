//! A Docker daemon of a test's own, which may be stopped and may lack images.

use std::process::Command;

use crate::{during::During, said};

/// A daemon that ends with the test.
pub struct Docker(During);

impl Docker {
    /// Starts one with these images; nothing where Docker is not installed and not required.
    pub fn start(images: &[&str]) -> Option<Self> {
        During::start("docker", images).map(Self)
    }

    /// What `DOCKER_HOST` is to be.
    pub fn host(&self) -> String {
        format!("unix://{}", self.0.folder.join("docker.sock").display())
    }

    /// Ends it as a power cut would.
    pub fn kill(&self) {
        self.0.script("kill", &[]);
    }

    /// Starts it again.
    pub fn again(&self) {
        self.0.script("start", &[]);
    }

    /// Sends it a signal: `-STOP`, `-CONT`.
    pub fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.0.folder.join("pid")).expect("it was started");
        let output = Command::new("kill").args([signal, pid.trim()]).output().expect("kill starts");
        assert!(output.status.success(), "{}", said(&output));
    }

    /// Has it forget an image.
    pub fn lack(&self, image: &str) {
        self.0.script("lack", &[image]);
    }

    /// Gives it an image of this machine.
    pub fn have(&self, image: &str) {
        self.0.script("have", &[image]);
    }
}
