//! The cells of uploads, by curl through TLS with certificates on both sides.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use diskpour::matrix::Endpoint;

use super::images::{Image, Images};
use super::{Poured, walk};
use crate::common::certificates::Authority;
use crate::common::upload::{Receiver, curl};

const CLIENT: &str = "uploader.test";

/// The files of both sides.
struct Papers(PathBuf);

impl Papers {
    fn new(dir: &Path) -> Self {
        let (servers, clients) = (Authority::new("servers'"), Authority::new("clients'"));
        servers.save(dir, "servers.pem");
        clients.save(dir, "clients.pem");
        servers.loopback().save(dir, "server");
        clients.client(CLIENT).save(dir, "client");
        Self(dir.to_owned())
    }

    fn at(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn upload(&self, image: &Image, target: &Path, options: &[OsString]) -> Poured {
        let [cert, key, ca] = ["server.crt", "server.key", "clients.pem"].map(|name| self.at(name));
        let tls = ["--tls-cert", &cert, "--tls-key", &key, "--client-ca", &ca, "--client-name", CLIENT];
        let options: Vec<&str> = options.iter().map(|option| option.to_str().unwrap()).collect();
        let receiver = Receiver::start(target, &[&tls, &options[..]].concat());
        let [cert, key, ca] = ["client.crt", "client.key", "servers.pem"].map(|name| self.at(name));
        let (file, url) = (image.path.to_str().unwrap(), receiver.url("/v1beta1/upload"));
        let papers = ["--cert", &cert, "--key", &key, "--cacert", &ca];
        let answer = curl([&papers[..], &["-X", "POST", "-T", file, &url]].concat());
        if answer.status == 200 {
            let scratch = receiver.finish()["scratch_bytes"].as_u64();
            return Poured { code: None, scratch, words: answer.body };
        }
        answer.expect(500);
        Poured { code: None, scratch: None, words: answer.body }
    }
}

#[test]
fn an_upload_uses_scratch_where_its_cells_say_so() {
    let images = Images::new();
    let papers = Papers::new(images.dir());
    let upload = |image: &Image, target: &Path, options: &[OsString]| papers.upload(image, target, options);
    walk(Endpoint::Upload, &images, &upload);
}
