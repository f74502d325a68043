//! Who may upload: certificates, versions of TLS, cipher suites.

use super::{NAME, Papers, post};
use crate::cli::Disks;
use crate::common::certificates::{Authority, Identity};
use crate::common::upload::{Receiver, curl};

#[test]
fn only_the_client_with_the_right_certificate_may_upload() {
    let disks = Disks::new();
    let papers = Papers::new(disks.dir());
    let good = papers.authority.client(NAME);
    let other = papers.authority.client("client.other");
    // Whoever may connect can add a certificate that is public to their own.
    let added = Identity { certificate: other.certificate.clone() + &good.certificate, ..other.clone() };
    papers.save("other", &other);
    papers.save("added", &added);
    papers.save("foreign", &Authority::new("uploads").client(NAME));
    papers.save("expired", &papers.authority.expired_client(NAME));
    papers.save("server-only", &papers.authority.loopback());
    let receiver = papers.receiver(&disks.target, &[]);
    let url = receiver.url("/v1beta1/upload");
    let upload = |client: Option<&str>| post(papers.client(client), &url, &disks.qcow2);
    upload(None).expect(401).says("a client certificate is needed");
    upload(Some("other")).expect(401).says("client.other");
    upload(Some("added")).expect(401).says("client.other");
    for refused in ["foreign", "expired", "server-only"] {
        let answer = upload(Some(refused));
        assert_eq!(answer.status, 0, "{refused}: {answer:?}");
        assert!(answer.code != 0, "{refused}: {answer:?}");
        // Not even what needs no certificate is for who shows a wrong one.
        let mut health = papers.client(Some(refused));
        health.push(receiver.url("/healthz"));
        assert_eq!(curl(health).status, 0, "{refused}");
    }
    disks.is_clean();
    upload(Some("good")).expect(200);
    receiver.finish();
    disks.is_poured();
}

#[test]
fn without_a_name_any_certificate_of_the_authority_will_do() {
    let disks = Disks::new();
    let papers = Papers::new(disks.dir());
    papers.save("other", &papers.authority.client("client.other"));
    let (cert, key, ca) = (papers.at("server.crt"), papers.at("server.key"), papers.at("ca.crt"));
    let tls = ["--tls-cert", &cert, "--tls-key", &key];
    let receiver = Receiver::start(&disks.target, &[&tls[..], &["--client-ca", &ca]].concat());
    let url = receiver.url("/v1beta1/upload");
    post(papers.client(None), &url, &disks.raw).expect(401);
    post(papers.client(Some("other")), &url, &disks.raw).expect(200);
    receiver.finish();
    disks.is_poured();
    std::fs::remove_file(&disks.target).unwrap();
    let receiver = Receiver::start(&disks.target, &tls);
    assert!(receiver.log().contains("anybody who can reach the server may upload"), "{}", receiver.log());
    post(papers.client(None), &receiver.url("/v1beta1/upload"), &disks.raw).expect(200);
    receiver.finish();
    disks.is_poured();
}

#[test]
fn versions_and_ciphers_are_those_that_were_asked_for() {
    let disks = Disks::new();
    let papers = Papers::new(disks.dir());
    let health = |receiver: &Receiver, args: &[&str]| {
        let mut all = papers.client(None);
        all.extend(args.iter().map(ToString::to_string));
        all.push(receiver.url("/healthz"));
        curl(all).status
    };
    let newest = papers.receiver(&disks.target, &["--tls-min-version", "VersionTLS13"]);
    assert_eq!(health(&newest, &["--tls-max", "1.2"]), 0);
    assert_eq!(health(&newest, &["--tlsv1.3"]), 200);
    let oldest = papers.receiver(&disks.target, &["--tls-min-version", "VersionTLS10"]);
    assert!(oldest.log().contains("1.2 is the least"), "{}", oldest.log());
    assert_eq!(health(&oldest, &["--tls-max", "1.1", "--ciphers", "DEFAULT:@SECLEVEL=0"]), 0);
    assert_eq!(health(&oldest, &["--tls-max", "1.2"]), 200);
    let names = "ECDHE-ECDSA-AES128-GCM-SHA256,AES128-SHA,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    let chosen = papers.receiver(&disks.target, &["--tls-ciphers", names]);
    assert!(chosen.log().contains("not supported: AES128-SHA"), "{}", chosen.log());
    for (cipher, status) in [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", 200),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", 200),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", 0),
    ] {
        assert_eq!(health(&chosen, &["--tls-max", "1.2", "--ciphers", cipher]), status, "{cipher}");
    }
}
