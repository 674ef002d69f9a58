//! Words of a text.

/// Words with the bytes where they begin: runs of letters and digits, and every other character besides white space.
pub(super) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = rest.find(|(_, c)| !c.is_whitespace())?;
        let mut end = start + first.len_utf8();
        while first.is_alphanumeric()
            && let Some((at, next)) = rest.next_if(|(_, c)| c.is_alphanumeric())
        {
            end = at + next.len_utf8();
        }
        Some((start, &text[start..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits_and_marks_by_themselves() {
        let found: Vec<(usize, &str)> = words(" Don't  pay\n£5!!").collect();
        let wanted = [
            (1, "Don"),
            (4, "'"),
            (5, "t"),
            (8, "pay"),
            (12, "£"),
            (14, "5"),
            (15, "!"),
            (16, "!"),
        ];
        assert_eq!(found, wanted);
        assert_eq!(words(" \n\t").count(), 0);
        assert_eq!(words("Größe").collect::<Vec<_>>(), [(0, "Größe")]);
    }
}
