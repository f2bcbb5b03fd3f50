//! What somebody meant who has misspelt a name.

/// The name that is most like `name`, if one is like it enough to have been meant.
pub fn closest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    names
        .into_iter()
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().min(name.chars().count()).div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}
