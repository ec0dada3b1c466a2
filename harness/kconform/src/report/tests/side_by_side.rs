//! What two kernels did with one case.

use crate::document::Status;
use crate::document::tests::sample::{NASTY, document};
use crate::report::side_by_side;

#[test]
fn two_observations() {
    let mut was = document().cases[0].results[0].clone();
    let mut is = was.clone();
    // Another errno, a step that is not reached, one that takes other arguments.
    is.status = Status::Failed;
    is.failure = document().cases[1].results[0].failure.clone();
    is.steps[3].back = "-1 EPERM (Operation not permitted)".into();
    is.steps.remove(2);
    was.steps[0].args[2].text = "76".into();
    was.kernel_log = (1..30).map(|nth| format!("line {nth}")).collect();
    is.kernel_log = vec![NASTY.into()];
    insta::assert_snapshot!(side_by_side(["6.1.192", "6.12"], [&was, &is]));
}
