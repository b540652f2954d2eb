//! Setting up remotes with the program as users start it: a Nextcloud double, a WebDAV server, S3, folders, proxies, certificates.

#![allow(clippy::unwrap_used, reason = "part of a test")]

#[path = "../nextcloud/double/mod.rs"]
mod double;

mod browser;
mod doctor;
mod forecast;
mod home;
mod network;
mod places;
mod s3;
mod s3_double;
mod secrets;
mod settings;
