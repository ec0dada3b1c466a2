use super::*;
pub(super) fn ready(image: &Image) -> Result<(), Unusable> { Err(Unusable{ what: "x".into(), mend: None, not_set_up: true }) }
pub(super) fn open(image: &Image) -> Result<Opened, Unusable> { ready(image)?; panic!() }
