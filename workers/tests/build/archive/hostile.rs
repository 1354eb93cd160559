//! Archives that try to write outside, or to fill the disk or the memory.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tar::{EntryType, Header};
use workers::disk::Usage;

use super::{Unpacker, archive, gzip};

/// One entry, with whatever name.
fn entry(kind: EntryType, name: &[u8], link: &[u8], mode: u32, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    entry(EntryType::Regular, name, b"", 0o644, content)
}

fn link(name: &[u8], target: &[u8]) -> Vec<u8> {
    entry(EntryType::Symlink, name, target, 0o777, b"")
}

fn whole(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    gzip(&bytes)
}

async fn refused(entries: &[Vec<u8>]) -> (&'static str, String) {
    let unpacker = Unpacker::new();
    let error = unpacker.unpack(&whole(entries)).await.expect_err("hostile");
    assert!(!unpacker.platform.workspace().exists(), "{error}");
    assert!(!unpacker.platform.data.path().join("canary").exists(), "{error}");
    (error.code, error.message)
}

#[tokio::test]
async fn what_leads_outside_or_is_no_file_is_refused() {
    let outside = tempfile::tempdir().expect("a directory");
    let absolute = outside.path().join("canary");
    let absolute = absolute.as_os_str().as_encoded_bytes();
    for (entries, part) in [
        (vec![file(absolute, b"x")], "canary"),
        (vec![file(b"../../canary", b"x")], "../../canary"),
        (vec![file(b"a/../../canary", b"x")], "a/../../canary"),
        (vec![entry(EntryType::Directory, b"../canary", b"", 0o755, b"")], "../canary"),
        (vec![entry(EntryType::Link, b"a", b"/etc/passwd", 0o644, b"")], "/etc/passwd"),
        (vec![entry(EntryType::Link, b"a", b"../x", 0o644, b"")], "../x"),
        (vec![entry(EntryType::Link, b"a", b"absent", 0o644, b"")], "`a`"),
        (vec![entry(EntryType::Char, b"null", b"", 0o644, b"")], "no file, directory or link"),
        (vec![entry(EntryType::Block, b"disk", b"", 0o644, b"")], "no file, directory or link"),
        (vec![entry(EntryType::Fifo, b"pipe", b"", 0o644, b"")], "no file, directory or link"),
        (vec![file(b"a", b"x"), file(b"a/b", b"x")], "`a`"),
        (vec![file(b"a/b", b"x"), file(b"a", b"x")], "`a`"),
        (vec![file(b"a/b", b"x"), link(b"a", b"/etc")], "`a`"),
        (vec![link(b"d", b"e"), link(b"d/f", b"g")], "d/f"),
    ] {
        let (code, message) = refused(&entries).await;
        assert_eq!(code, "upload_invalid", "{message}");
        assert!(message.contains(part), "{message}");
    }
    assert!(!outside.path().join("canary").exists());
}

#[tokio::test]
async fn a_file_is_never_written_through_a_link() {
    let outside = tempfile::tempdir().expect("a directory");
    let target = outside.path().as_os_str().as_encoded_bytes();
    // The link would stand where the directory is by now.
    let (code, _) = refused(&[link(b"d", target), file(b"d/canary", b"x")]).await;
    assert_eq!(code, "upload_invalid");
    // The later of two entries of one name counts, and a link that leads out is taken away.
    let unpacker = Unpacker::new();
    let files = unpacker.unpack(&whole(&[file(b"d", b"x"), link(b"d", target)])).await.expect("unpacked");
    assert!(files.is_empty() && !outside.path().join("canary").exists());
}

#[tokio::test]
async fn links_that_stay_inside_are_made_and_others_are_taken_away() {
    let unpacker = Unpacker::new();
    let entries = [
        link(b"before", b"d/file"),
        link(b"out", b"/etc/passwd"),
        link(b"d/up", b"../../../etc"),
        link(b"chain", b"out"),
        file(b"d/file", b"x"),
        entry(EntryType::Link, b"second", b"d/file", 0o644, b""),
    ];
    let files = unpacker.unpack(&whole(&entries)).await.expect("unpacked");
    assert_eq!(files, ["before->d/file", "d/file=x", "second=x"]);
    unpacker.platform.wait_for("removed links that lead out of the upload: out, d/up, chain").await;
}

#[tokio::test]
async fn the_rights_of_another_user_are_not_kept() {
    let unpacker = Unpacker::new();
    unpacker.unpack(&whole(&[entry(EntryType::Regular, b"a", b"", 0o7755, b"x")])).await.expect("unpacked");
    let mode = fs::metadata(unpacker.platform.workspace().join("a")).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[tokio::test]
async fn entries_and_bytes_at_the_limit_are_unpacked_and_one_above_is_not() {
    let entries = [file(b"a", b"12345"), file(b"b", b"12345")];
    for (bytes, entries_max, taken) in [(10, 2, true), (9, 2, false), (10, 1, false)] {
        let unpacker = Unpacker::with(Usage { bytes, entries: entries_max });
        match unpacker.unpack(&whole(&entries)).await {
            Ok(_) => assert!(taken),
            Err(error) => assert_eq!((error.code, taken), ("repository_too_large", false)),
        }
    }
}

#[tokio::test]
async fn a_bomb_of_zeros_is_ended_at_the_limit() {
    let unpacker = Unpacker::new();
    let zeros = file(b"zeros", &vec![0; 64 << 20]);
    let error = unpacker.unpack(&whole(&[zeros])).await.expect_err("a bomb");
    assert_eq!(error.code, "repository_too_large");
    assert!(!unpacker.platform.workspace().exists());
}

#[tokio::test]
async fn a_header_that_would_fill_the_memory_is_refused() {
    for kind in [EntryType::XHeader, EntryType::GNULongName, EntryType::GNULongLink] {
        let (code, message) =
            refused(&[entry(kind, b"x", b"", 0o644, &vec![b'1'; 8 << 20]), file(b"a", b"x")]).await;
        assert_eq!(code, "upload_invalid", "{message}");
    }
}

#[tokio::test]
async fn a_size_in_a_long_header_is_what_counts() {
    // The ordinary header says nothing is there, the long one that five bytes are: they must not be read as a
    // header.
    let mut short = file(b"a", b"");
    short.extend_from_slice(b"12345");
    short.resize(short.len().next_multiple_of(512), 0);
    let unpacker = Unpacker::new();
    let sized = entry(EntryType::XHeader, b"x", b"", 0o644, b"10 size=5\n");
    let files = unpacker.unpack(&whole(&[sized, short, file(b"b", b"x")])).await.expect("unpacked");
    assert_eq!(files, ["a=12345", "b=x"]);
}

#[tokio::test]
async fn a_broken_archive_is_refused_wherever_it_breaks() {
    let bytes = archive(&[("a", "some text"), ("b", "some more")]);
    for length in [10, bytes.len() / 2, bytes.len() - 1] {
        let error = Unpacker::new().unpack(&bytes[..length]).await.expect_err("broken");
        assert_eq!(error.code, "upload_invalid", "{length}");
    }
    let garbage = gzip(&[7; 4096]);
    assert_eq!(Unpacker::new().unpack(&garbage).await.expect_err("garbage").code, "upload_invalid");
}
