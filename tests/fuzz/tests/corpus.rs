//! Every input that was ever worth keeping, again.

use std::fs;
use std::path::Path;

#[test]
fn inputs_that_reached_something_new_hold() {
    for (name, check) in fuzz::ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let inputs: Vec<_> = fs::read_dir(&folder).unwrap().map(Result::unwrap).collect();
        assert!(inputs.len() >= 10, "{name}: only {} inputs", inputs.len());
        for input in inputs {
            let content = fs::read(input.path()).unwrap();
            let held = std::panic::catch_unwind(|| check(&content));
            assert!(held.is_ok(), "{}", input.path().display());
        }
    }
}
