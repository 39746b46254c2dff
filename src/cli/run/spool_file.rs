//! The bytes of a spool file: what a `run` has not delivered yet, in the order in which it is to be
//! delivered. A file that breaks off is read up to where it is whole.
//!
//! After the magic, one record after the other: length of the rest (u32, little-endian), crc32c of the
//! rest (u32), kind (one byte), message. The first record is the creation, kind 0, a
//! `CreateExecutionRequest`; the others are batches, kind 1, an `AppendRequest` with its producer each.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use prost::Message;

use crate::cli::exit::CliError;
use crate::proto::v1::{AppendRequest, CreateExecutionRequest};

/// The first bytes of a spool, and the version of its format.
const MAGIC: &[u8; 8] = b"TPLSPL\x00\x01";
/// Longest record that is read, in bytes; none is written that is half as long.
const RECORD_BYTES_MAX: u32 = 16 << 20;
const KIND_CREATE: u8 = 0;
const KIND_BATCH: u8 = 1;

/// Writes the beginning of a spool: the magic and the creation. Returns how many bytes it has.
pub(crate) fn write_head(file: &mut impl Write, create: &CreateExecutionRequest) -> io::Result<u64> {
    file.write_all(MAGIC)?;
    Ok(MAGIC.len() as u64 + write_record(file, KIND_CREATE, create)?)
}

/// Writes one batch. Returns how many bytes it has.
pub(crate) fn write_batch(file: &mut impl Write, batch: &AppendRequest) -> io::Result<u64> {
    write_record(file, KIND_BATCH, batch)
}

fn write_record(file: &mut impl Write, kind: u8, message: &impl Message) -> io::Result<u64> {
    let mut body = vec![kind];
    message.encode(&mut body).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(&crc32c::crc32c(&body).to_le_bytes())?;
    file.write_all(&body)?;
    Ok(u64::from(length) + 8)
}

/// Reads the batch that stands at the file's place.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] at the end of the file, [`io::ErrorKind::InvalidData`] for bytes that
/// are no batch.
pub(crate) fn read_batch(file: &mut impl Read) -> io::Result<(AppendRequest, u64)> {
    let (kind, body) = read_record(file)?;
    let bytes = body.len() as u64 + 9;
    match (kind, AppendRequest::decode(body.as_slice())) {
        (KIND_BATCH, Ok(batch)) => Ok((batch, bytes)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn read_record(file: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let (mut length, mut checksum, mut kind) = ([0; 4], [0; 4], [0; 1]);
    file.read_exact(&mut length)?;
    file.read_exact(&mut checksum)?;
    let length = u32::from_le_bytes(length);
    if !(1..=RECORD_BYTES_MAX).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    file.read_exact(&mut kind)?;
    let mut body = Vec::new();
    file.take(u64::from(length) - 1).read_to_end(&mut body)?;
    if body.len() as u64 != u64::from(length) - 1 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if crc32c::crc32c_append(crc32c::crc32c(&kind), &body) != u32::from_le_bytes(checksum) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((kind[0], body))
}

/// A spool that is read from its beginning.
#[derive(Debug)]
pub(crate) struct SpoolReader {
    path: PathBuf,
    file: BufReader<File>,
    length: u64,
    create: CreateExecutionRequest,
    torn: bool,
}

impl SpoolReader {
    /// Opens a spool and reads its creation.
    ///
    /// # Errors
    /// [`CliError::Usage`] if the file is no spool, [`CliError::Local`] if it cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self, CliError> {
        let failed = |error| CliError::local(format!("cannot read {}", path.display()), error);
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut file = BufReader::new(file);
        let create = read_head(&mut file).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                CliError::Usage(format!("{} is no spool of this version", path.display()))
            }
            _ => failed(error),
        })?;
        Ok(Self { path: path.to_owned(), file, length, create, torn: false })
    }

    /// The execution the spool belongs to.
    pub(crate) fn create(&self) -> &CreateExecutionRequest {
        &self.create
    }

    /// The next batch; `None` at the end of what is whole.
    pub(crate) fn next(&mut self) -> Result<Option<AppendRequest>, CliError> {
        let failed = |error| CliError::local(format!("cannot read {}", self.path.display()), error);
        if self.torn || self.file.stream_position().map_err(failed)? == self.length {
            return Ok(None);
        }
        match read_batch(&mut self.file) {
            Ok((batch, _)) => Ok(Some(batch)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) =>
            {
                self.torn = true;
                Ok(None)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether the file broke off, or went wrong, before its end.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn
    }
}

fn read_head(file: &mut (impl Read + Seek)) -> io::Result<CreateExecutionRequest> {
    file.seek(SeekFrom::Start(0))?;
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    let (kind, body) =
        if &magic == MAGIC { read_record(file)? } else { return Err(io::ErrorKind::InvalidData.into()) };
    match (kind, CreateExecutionRequest::decode(body.as_slice())) {
        (KIND_CREATE, Ok(create)) => Ok(create),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::v1::{Event, Producer};

    fn batch(seq: u64, events: usize) -> AppendRequest {
        let producer = Some(Producer { id: "p".to_owned(), epoch: 1, seq });
        AppendRequest {
            execution_id: "e1".to_owned(),
            events: vec![Event::default(); events],
            producer,
            ..Default::default()
        }
    }

    fn spool_of(batches: &[AppendRequest]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let create = CreateExecutionRequest { execution_id: "e1".to_owned(), ..Default::default() };
        write_head(&mut bytes, &create).expect("memory");
        batches.iter().for_each(|batch| {
            write_batch(&mut bytes, batch).expect("memory");
        });
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(Vec<AppendRequest>, bool), CliError> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("spool");
        std::fs::write(&path, bytes).expect("writable");
        let mut reader = SpoolReader::open(&path)?;
        assert_eq!(reader.create().execution_id, "e1");
        let mut batches = Vec::new();
        while let Some(batch) = reader.next()? {
            batches.push(batch);
        }
        Ok((batches, reader.is_torn()))
    }

    #[test]
    fn what_is_written_is_read_in_order() {
        let batches: Vec<_> = (0..5).map(|seq| batch(seq, 3)).collect();
        assert_eq!(read(&spool_of(&batches)).expect("whole"), (batches, false));
    }

    #[test]
    fn a_file_that_is_no_spool_is_refused() {
        for bytes in [b"".as_slice(), b"TPLSPL\x00\x02 and more", &[0xff; 100]] {
            assert!(matches!(read(bytes), Err(CliError::Usage(_))));
        }
    }

    proptest! {
        #[test]
        fn a_spool_that_breaks_off_anywhere_is_read_up_to_there(count in 1_u64..5, cut in any::<prop::sample::Index>()) {
            let batches: Vec<_> = (0..count).map(|seq| batch(seq, 2)).collect();
            let (whole, head) = (spool_of(&batches), spool_of(&[]).len());
            let cut = head + cut.index(whole.len() - head);
            let (got, torn) = read(&whole[..cut]).expect("the head is whole");
            prop_assert_eq!(&got[..], &batches[..got.len()]);
            prop_assert_eq!(torn, spool_of(&got).len() != cut);
        }

        #[test]
        fn a_flipped_bit_is_noticed_and_nothing_after_it_is_delivered(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let batches: Vec<_> = (0..4).map(|seq| batch(seq, 2)).collect();
            let (mut bytes, head) = (spool_of(&batches), spool_of(&[]).len());
            let at = head + at.index(bytes.len() - head);
            bytes[at] ^= 1_u8 << bit;
            let (got, torn) = read(&bytes).expect("the head is whole");
            prop_assert!(torn && got.len() < batches.len());
            prop_assert_eq!(&got[..], &batches[..got.len()]);
        }
    }
}
