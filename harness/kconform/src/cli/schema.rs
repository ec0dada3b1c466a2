//! `kconform schema`.

use std::io::Write;

use super::args::SchemaOf;
use super::error::CliError;

pub(super) fn schema(of: SchemaOf) -> Result<u8, CliError> {
    let text = match of {
        SchemaOf::Cases => crate::schema::schema(),
        SchemaOf::Report => crate::document::schema(),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}
