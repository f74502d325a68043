//! Registries: tokens, passwords of them and for their token servers, and files with those.

use std::fs;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::vault::{USER, Vault};
use super::web::loud;
use crate::common::depot::{Depot, Reply, Request, shelves};
use crate::common::noise;
use crate::common::oci::{OciLayout, Packing, layer};
use crate::common::run::{self, Run};
use crate::common::workshop;

/// How a registry wants to be asked, and what it does with who asks well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Basic,
    Bearer,
    /// Whatever comes is refused, and said back.
    Refusing(&'static str),
}

fn echo(status: u16, request: &Request) -> Reply {
    let headers: Vec<&str> = request.headers.values().map(String::as_str).collect();
    Reply { status, ..Reply::text(format!("{} {} {}", headers.join(" "), request.path, request.body)) }
}

/// A registry of `manner` with the disk of `layout`, whose token is `token`.
fn registry(manner: Manner, layout: &OciLayout, token: &str) -> Depot {
    let (shelves, token) = (shelves(layout), token.to_owned());
    let address = Arc::new(OnceLock::new());
    let here = Arc::clone(&address);
    let depot = Depot::start("127.0.0.1", move |request| {
        let proof = request.header("authorization");
        let realm = format!("Bearer realm=\"http://{}/token\",service=\"x\"", here.get().unwrap());
        let wants = |how: &str| echo(401, request).with("WWW-Authenticate", how);
        match manner {
            Manner::Refusing("token server") if request.path.starts_with("/token") => echo(403, request),
            _ if request.path.starts_with("/token") => {
                Reply::text(json!({ "token": token, "expires_in": 300 }).to_string())
            }
            Manner::Refusing("basic") => wants("Basic realm=\"x\""),
            Manner::Refusing("registry") if proof.starts_with("Bearer ") => echo(403, request),
            Manner::Basic if proof.starts_with("Basic ") => shelves(request),
            Manner::Basic => wants("Basic realm=\"x\""),
            _ if proof.starts_with("Bearer ") => shelves(request),
            _ => wants(&realm),
        }
    });
    address.set(depot.address()).unwrap();
    depot
}

#[test]
fn registries_learn_passwords_and_tokens_and_messages_do_not() {
    let vault = Vault::new([
        ("password in the auth file", "auth/F1le+word"),
        ("identity token", "1dentity-t0ken/abc"),
        ("token", "b3arer.t0ken-of.the-server"),
        ("password in a file", "F1le=pass word"),
    ]);
    let dir = workshop();
    let mut layout = OciLayout::new(dir.path());
    let image = layout.image("amd64", &[layer(&[("disk/disk.img", &noise(64 << 10, 41))], Packing::Gzip)]);
    layout.tag("latest", image);
    let word = dir.path().join("password");
    fs::write(&word, vault.get("password in a file")).unwrap();
    let mut seen = Vec::new();
    for (what, manner, code) in [
        ("basic", Manner::Basic, 0),
        ("bearer", Manner::Bearer, 0),
        ("basic, refused", Manner::Refusing("basic"), 4),
        ("the token server refuses", Manner::Refusing("token server"), 4),
        ("the registry refuses the token", Manner::Refusing("registry"), 4),
    ] {
        let depot = registry(manner, &layout, vault.get("token"));
        let host = depot.address().to_string();
        let auth = dir.path().join("auth.json");
        let pair = STANDARD.encode(format!("{USER}:{}", vault.get("password in the auth file")));
        let entries = [json!({ "auth": pair }), json!({ "identitytoken": vault.get("identity token") })];
        for (number, entry) in entries.into_iter().enumerate() {
            fs::write(&auth, json!({ "auths": { &host: entry } }).to_string()).unwrap();
            // Only token servers know what to do with an identity token.
            let code = if number == 1 && manner == Manner::Basic { 4 } else { code };
            let outcome = vault.kept(what, pull(&host, dir.path()).arg("--auth-file").arg(&auth).run());
            assert_eq!(outcome.code, code, "{what}: {}", outcome.stderr);
        }
        let run = pull(&host, dir.path()).args(["--username", USER]).arg("--password-file").arg(&word);
        vault.kept(what, run.run()).expect(code);
        seen.extend(depot.seen());
    }
    vault.were_used(&seen, &["password in the auth file", "identity token", "token", "password in a file"]);
    damaged(&vault, dir.path());
}

/// Files of passwords that are none.
fn damaged(vault: &Vault, dir: &std::path::Path) {
    let (word, token) = (vault.get("password in the auth file"), vault.get("identity token"));
    for text in [
        format!("{{\"auths\": {{\"127.0.0.1:1\": {{\"auth\": \"{word}\"}}}}}}"),
        format!("{{\"auths\": {{\"127.0.0.1:1\": \"{token}\"}}}}"),
        format!("{{\"auths\": {token}"),
        token.to_owned(),
    ] {
        let auth = dir.join("damaged.json");
        fs::write(&auth, text).unwrap();
        let run = pull("127.0.0.1:1", dir).arg("--auth-file").arg(&auth);
        vault.kept("a damaged auth file", run.run()).expect(2);
    }
}

fn pull(host: &str, dir: &std::path::Path) -> Run {
    let run = run::import(format!("docker://{host}/disks"), dir.join("target.img"));
    loud(run.args(["--force", "--insecure", "--arch", "amd64", "--idle-timeout", "5s"]))
}
