use super::{PAUSE_ROWS, TRIAL_ROWS, Trial};

#[test]
fn a_filter_that_keeps_most_rows_pauses_ever_longer_and_comes_back() {
    let mut trial = Trial::default();
    assert!(trial.wants(TRIAL_ROWS));
    trial.note(TRIAL_ROWS, TRIAL_ROWS);
    assert!(!trial.wants(PAUSE_ROWS - 1));
    assert!(!trial.wants(1));
    assert!(trial.wants(1), "tried again");
    trial.note(TRIAL_ROWS, TRIAL_ROWS);
    assert!(!trial.wants(PAUSE_ROWS));
    assert!(!trial.wants(PAUSE_ROWS), "for twice as long");
    assert!(trial.wants(1));
    trial.note(TRIAL_ROWS, 10);
    assert!(trial.wants(TRIAL_ROWS * 100), "it has become a narrow one");
    trial.note(TRIAL_ROWS, TRIAL_ROWS);
    assert!(!trial.wants(PAUSE_ROWS));
    assert!(trial.wants(1), "and begins anew");
}

#[test]
fn few_rows_decide_nothing() {
    let mut trial = Trial::default();
    trial.note(TRIAL_ROWS - 1, TRIAL_ROWS - 1);
    assert!(trial.wants(1));
    trial.note(1, 0);
    assert!(!trial.wants(1));
}
