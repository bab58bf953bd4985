//! Two texts line by line: what is missing, what is too much, with a few lines around.

/// Lines around a difference.
const AROUND: usize = 2;
/// Lines of either text past which only the first difference is looked for: time and memory grow with their product.
const LINES: usize = 1000;
/// Lines that are shown.
const SHOWN: usize = 60;

/// A line of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'t> {
    Same(&'t str),
    Missing(&'t str),
    Extra(&'t str),
}

/// The difference as text: `-` what was expected and is not there, `+` what is there and was not expected.
pub(super) fn diff(expected: &str, found: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let mut lines: Vec<Line<'_>> = old[..head].iter().map(|line| Line::Same(line)).collect();
    lines.extend(between(&old[head..old_end], &new[head..new_end]));
    lines.extend(old[old_end..].iter().map(|line| Line::Same(line)));
    shown(&lines)
}

/// The lines between what both begin and end with, by their longest common run of lines.
fn between<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let all = || old.iter().map(|l| Line::Missing(l)).chain(new.iter().map(|l| Line::Extra(l))).collect();
    if old.is_empty() || new.is_empty() || old.len() > LINES || new.len() > LINES {
        return all();
    }
    // common[i][j]: lines that old[i..] and new[j..] have in common.
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(Line::Missing(old[i]));
            i += 1;
        } else {
            lines.push(Line::Extra(new[j]));
            j += 1;
        }
    }
    lines
}

fn shown(lines: &[Line<'_>]) -> String {
    let differs: Vec<bool> = lines.iter().map(|line| !matches!(line, Line::Same(_))).collect();
    let near = |at: usize| differs[at.saturating_sub(AROUND)..differs.len().min(at + AROUND + 1)].contains(&true);
    let (mut out, mut left_out, mut told) = (String::new(), false, 0);
    for (at, line) in lines.iter().enumerate() {
        if !near(at) {
            left_out = true;
            continue;
        }
        if std::mem::take(&mut left_out) {
            out.push_str("  …\n");
        }
        if told == SHOWN {
            let more = differs[at..].iter().filter(|differs| **differs).count();
            return out + &format!("  … and {more} more lines that differ\n");
        }
        told += 1;
        let (sign, text) = match line {
            Line::Same(text) => (' ', text),
            Line::Missing(text) => ('-', text),
            Line::Extra(text) => ('+', text),
        };
        out.push_str(&format!("{sign} {text}\n"));
    }
    if left_out {
        out.push_str("  …\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_with_the_lines_around() {
        let old: String = (10..30).map(|i| format!("{i}\n")).collect();
        let new = old.replace("17\n", "seven\nand\n").replace("29\n", "");
        let told = "  …\n  15\n  16\n- 17\n+ seven\n+ and\n  18\n  19\n  …\n  27\n  28\n- 29\n";
        assert_eq!(diff(&old, &new), told);
        assert_eq!(diff("1", "2"), "- 1\n+ 2\n");
        assert_eq!(diff("", "a"), "+ a\n");
        assert_eq!(diff("a\nb\nc\nd", "b\nc\ne\nd"), "- a\n  b\n  c\n+ e\n  d\n");
    }

    #[test]
    fn a_large_difference_is_cut() {
        let (old, new): (String, String) =
            ((0..5000).map(|i| format!("{i}\n")).collect(), (0..5000).map(|i| format!("x{i}\n")).collect());
        let told = diff(&old, &new);
        assert!(told.lines().count() <= SHOWN + 2 && told.contains("more lines that differ"), "{told}");
    }
}
