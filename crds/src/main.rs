//! Writes the CustomResourceDefinitions into the folder that is named on the command line.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: crds FOLDER");
        return ExitCode::from(2);
    };
    for definition in crds::all() {
        let (file, yaml) = crds::manifest(&definition);
        let path = Path::new(&folder).join(file);
        if let Err(error) = std::fs::write(&path, yaml) {
            eprintln!("cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
