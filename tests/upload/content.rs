//! What is uploaded: formats and codecs, forms, and what does not fit.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;

use super::{TOO_SMALL, post};
use crate::cli::Disks;
use crate::common::upload::{Answer, Receiver, curl, curl_command};
use crate::common::{digest, noise, qemu, wait_for};

#[test]
fn every_format_is_converted_while_it_arrives() {
    let disks = Disks::new();
    let images = [
        (disks.raw.clone(), "raw", None),
        (disks.qcow2.clone(), "qcow2", None),
        (qemu::pack(&disks.qcow2, "gzip"), "qcow2", Some("gzip")),
        (qemu::pack(&disks.raw, "xz"), "raw", Some("xz")),
        (qemu::pack(&disks.raw, "zstd"), "raw", Some("zstd")),
    ];
    for (image, format, codec) in images {
        for path in ["/v1beta1/upload", "/v1beta1/upload-form"] {
            let receiver = Receiver::plain(&disks.target, &[]);
            post(Vec::new(), &receiver.url(path), &image).expect(200);
            let result = receiver.finish();
            assert_eq!(result["format"], format, "{}", image.display());
            assert_eq!(result["codecs"].get(0).and_then(|name| name.as_str()), codec, "{}", image.display());
            assert_eq!(result["scratch_bytes"], 0, "{}", image.display());
            disks.is_poured();
            fs::remove_file(&disks.target).unwrap();
        }
    }
}

#[test]
fn a_body_in_chunks_has_no_length_and_still_an_end() {
    let disks = Disks::new();
    for image in [&disks.raw, &disks.qcow2] {
        let receiver = Receiver::plain(&disks.target, &[]);
        let mut command = curl_command();
        command.args(["-X", "POST", "-T", "-", &receiver.url("/v1beta1/upload-async")]);
        let output = command.stdin(File::open(image).unwrap()).stdout(Stdio::piped()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "\n200");
        receiver.finish();
        disks.is_poured();
        fs::remove_file(&disks.target).unwrap();
    }
}

#[test]
fn a_large_disk_goes_through_small_buffers_unchanged() {
    let disks = Disks::new();
    let bytes = noise(12 << 20, 3);
    let image = disks.dir().join("large.raw");
    fs::write(&image, &bytes).unwrap();
    for path in ["/v1beta1/upload", "/v1beta1/upload-form"] {
        let sum = format!("sha256:{}", digest::bytes(&bytes));
        let receiver = Receiver::plain(&disks.target, &["--verify", "--checksum", &sum]);
        let url = receiver.url(path);
        // Another image first, which only its sum shows to be wrong.
        post(Vec::new(), &url, &disks.raw).expect(500).says("Saving stream failed: ").says("sha256");
        disks.is_clean();
        post(Vec::new(), &url, &image).expect(200);
        receiver.finish();
        assert!(fs::read(&disks.target).unwrap() == bytes, "{path}: the target differs");
        fs::remove_file(&disks.target).unwrap();
    }
}

#[test]
fn the_file_is_the_first_part_of_its_name() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    let (raw, other) = (disks.raw.display(), disks.qcow2.display());
    curl([
        "-F",
        "text=before",
        "-F",
        "files=no",
        "-F",
        &format!("file=@{raw}"),
        "-F",
        &format!("file=@{other}"),
        "-F",
        "text=after",
        &receiver.url("/v1beta1/upload-form"),
    ])
    .expect(200);
    receiver.finish();
    disks.is_poured();
}

#[test]
fn forms_that_bring_no_file_are_400_and_the_next_upload_is_taken() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    let url = receiver.url("/v1beta1/upload-form");
    let form =
        |kind: &str, body: &str| curl(["-H", &format!("Content-Type: {kind}"), "--data-binary", body, &url]);
    let multipart = "multipart/form-data; boundary=b";
    curl(["-F", "x=y", &url]).expect(400).says("no part named \"file\"");
    form("text/plain", "hello").expect(400).says("multipart/form-data");
    form("multipart/form-data", "--b\r\n").expect(400);
    form(multipart, "").expect(400);
    form(multipart, "no boundary at all").expect(400);
    form(multipart, "--b\r\nContent-Disposition: form-data; name=\"fi").expect(400);
    form(multipart, "--b--\r\n").expect(400).says("no part named");
    let huge = disks.dir().join("huge.form");
    fs::write(&huge, ["--b\r\nX: ".to_owned(), "x".repeat(1 << 20)].concat()).unwrap();
    form(multipart, &format!("@{}", huge.display())).expect(400).says("262144 bytes outside of its file");
    disks.is_clean();
    post(Vec::new(), &url, &disks.qcow2).expect(200);
    receiver.finish();
    disks.is_poured();
}

#[test]
fn what_does_not_fit_is_400_in_the_words_of_cdi_and_the_server_goes_on() {
    let disks = Disks::new();
    let small = disks.dir().join("small.raw");
    fs::write(&small, &disks.bytes[..1 << 20]).unwrap();
    let receiver = Receiver::plain(&disks.target, &["--max-size", "2M"]);
    // Large enough that the answer comes while the client still sends; zeros are bytes of a disk too.
    let large = disks.dir().join("large.raw");
    File::create(&large).unwrap().set_len(64 << 20).unwrap();
    let refused = |answer: Answer| {
        answer
            .expect(400)
            .says("is larger than the reported available storage 2097152. A larger PVC is required");
        assert!(answer.body.starts_with(TOO_SMALL), "{answer:?}");
        assert_eq!(answer.body.lines().count(), 1, "{answer:?}");
        let logged = format!("ERROR {}", answer.body.trim_end());
        let told = wait_for(|| receiver.log().contains(&logged));
        assert!(told, "{logged} is not in {}", receiver.log());
        disks.is_clean();
    };
    let chunked = |image: &Path| {
        let args = ["-H", "Transfer-Encoding: chunked", "-H", "Expect:"].map(str::to_owned).to_vec();
        post(args, &receiver.url("/v1beta1/upload-async"), image)
    };
    for image in
        [&disks.raw, &disks.qcow2, &qemu::pack(&disks.raw, "xz"), &qemu::pack(&disks.qcow2, "gzip"), &large]
    {
        refused(receiver.post(image));
        refused(chunked(image));
        refused(post(Vec::new(), &receiver.url("/v1beta1/upload-form-async"), image));
    }
    receiver.post(&small).expect(200);
    receiver.finish();
    assert!(fs::read(&disks.target).unwrap() == disks.bytes[..1 << 20]);
}

#[test]
fn images_that_are_refused_are_500_with_one_line_of_the_cause() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    let mut damaged = fs::read(&disks.qcow2).unwrap();
    damaged[4..8].copy_from_slice(&[0, 0, 0, 9]);
    let image = disks.dir().join("damaged.qcow2");
    for bytes in [&damaged[..], &fs::read(&disks.qcow2).unwrap()[..100_000], b""] {
        fs::write(&image, bytes).unwrap();
        let answer = receiver.post(&image);
        answer.expect(500).says("Saving stream failed: ");
        assert_eq!(answer.body.lines().count(), 1, "{answer:?}");
        disks.is_clean();
    }
    receiver.post(&disks.raw).expect(200);
    receiver.finish();
    disks.is_poured();
}

#[test]
fn what_is_no_clone_is_not_taken_for_one() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    for (kind, path, words) in [
        ("blockdevice-clone", "upload", "the clone's snappy stream is damaged"),
        ("filesystem-clone", "upload", "the clone's snappy stream is damaged"),
        ("blockdevice-clone", "upload-async", "async clone not supported"),
    ] {
        let args = vec!["-H".to_owned(), format!("x-cdi-content-type: {kind}")];
        let url = receiver.url(&format!("/v1beta1/{path}"));
        post(args, &url, &disks.raw).expect(500).says("Saving stream failed: ").says(words);
    }
    let (code, _) = receiver.end(Signal::TERM);
    assert_eq!(code, Some(143));
    disks.is_clean();
}

#[test]
fn an_archive_is_unpacked_into_a_directory_while_it_arrives() {
    let disks = Disks::new();
    let (from, to, tar) = (disks.dir().join("from"), disks.dir().join("to"), disks.dir().join("files.tar"));
    fs::create_dir_all(from.join("sub")).unwrap();
    fs::write(from.join("sub/disk.raw"), &disks.bytes).unwrap();
    qemu::tool("tar", ["-C".as_ref(), from.as_os_str(), "-cf".as_ref(), tar.as_os_str(), "sub".as_ref()]);
    for archive in [tar.clone(), qemu::pack(&tar, "gzip"), qemu::pack(&tar, "xz")] {
        fs::create_dir(&to).unwrap();
        let receiver = Receiver::plain(&to, &[]);
        let url = receiver.url("/v1beta1/upload-archive");
        // Neither an image that is no archive, nor half an archive.
        post(Vec::new(), &url, &disks.qcow2).expect(500).says("Saving stream failed: ");
        let half = disks.dir().join("half.tar");
        fs::write(&half, &fs::read(&tar).unwrap()[..1 << 20]).unwrap();
        post(Vec::new(), &url, &half).expect(500).says("Saving stream failed: ");
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0, "something is left of half an archive");
        post(Vec::new(), &receiver.url("/v1beta1/upload"), &disks.qcow2).expect(500).says("is a directory");
        post(Vec::new(), &url, &archive).expect(200);
        receiver.finish();
        assert!(fs::read(to.join("sub/disk.raw")).unwrap() == disks.bytes, "{}", archive.display());
        fs::remove_dir_all(&to).unwrap();
    }
    fs::write(&disks.target, "").unwrap();
    let receiver = Receiver::plain(&disks.target, &[]);
    let answer = post(Vec::new(), &receiver.url("/v1alpha1/upload-archive"), &tar);
    answer.expect(500).says("Saving stream failed: ").says("directory");
    assert_eq!(fs::read(&disks.target).unwrap(), b"");
}

#[test]
fn an_archive_that_does_not_fit_is_400_in_the_words_of_cdi() {
    let disks = Disks::new();
    let (to, tar) = (disks.dir().join("to"), disks.dir().join("files.tar"));
    fs::create_dir(&to).unwrap();
    let name = disks.raw.file_name().unwrap();
    qemu::tool("tar", ["-C".as_ref(), disks.dir().as_os_str(), "-cf".as_ref(), tar.as_os_str(), name]);
    let receiver = Receiver::plain(&to, &["--max-size", "2M"]);
    let answer = post(Vec::new(), &receiver.url("/v1beta1/upload-archive"), &tar);
    answer.expect(400).says(TOO_SMALL);
    assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
}
