//! What is not run, and what is known to fail, each with its reason.

use std::collections::{BTreeMap, BTreeSet};

/// The two lists beside this file.
pub(crate) struct Lists {
    /// File, or folder with its `/` → why it does not apply.
    excluded: BTreeMap<String, String>,
    /// File and place of a record → why it fails.
    known: BTreeMap<(String, String), String>,
}

impl Lists {
    pub(crate) fn read() -> Self {
        let excluded = lines(include_str!("excluded.txt"));
        let known = lines(include_str!("known.txt")).into_iter();
        let known = known.map(|(place, reason)| {
            let (file, line) = place.split_once(':').expect("FILE:LINE REASON");
            ((file.to_owned(), line.to_owned()), reason)
        });
        Self {
            excluded,
            known: known.collect(),
        }
    }

    /// A list must not outlive what it is about.
    pub(crate) fn assert_files_exist(&self, files: &[String]) {
        let files: BTreeSet<&String> = files.iter().collect();
        let named = self.known.keys().map(|(file, _)| file);
        for listed in self.excluded.keys().chain(named) {
            let is_folder = |file: &&String| listed.ends_with('/') && file.starts_with(listed);
            let exists = files.contains(listed) || files.iter().any(is_folder);
            assert!(exists, "{listed} is listed, but does not exist");
        }
    }

    pub(crate) fn is_excluded(&self, file: &str) -> bool {
        let folders = file.match_indices('/').map(|(end, _)| &file[..=end]);
        folders
            .chain([file])
            .any(|listed| self.excluded.contains_key(listed))
    }

    pub(crate) fn is_known(&self, file: &str, place: &str) -> bool {
        let place = (file.to_owned(), place.to_owned());
        self.known.contains_key(&place)
    }

    /// Places of a file's records that are known to fail.
    pub(crate) fn known_of(&self, file: &str) -> Vec<String> {
        let known = self.known.keys().filter(|(known, _)| known == file);
        known.map(|(_, place)| place.clone()).collect()
    }
}

/// `WHAT REASON`, one a line; `#` begins a comment.
fn lines(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| {
        let (what, reason) = line.split_once(' ').expect("every entry has a reason");
        (what.to_owned(), reason.trim().to_owned())
    });
    pairs.collect()
}
