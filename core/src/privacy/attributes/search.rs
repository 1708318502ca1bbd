//! The values of all masked fields of a record that score best: every combination where there are few,
//! else a beam that settles one field after the other.

use super::Field;

/// Combinations that are all tried.
pub(super) const EXACT: usize = 4096;
/// Combinations that the beam keeps.
pub(super) const BEAM: usize = 64;

/// The combinations of the first `depth` fields that are to be scored next, each completed by the most
/// frequent values of the others.
pub(super) fn complete(fields: &[Field], some: &[usize]) -> Vec<usize> {
    let rest = fields[some.len()..].iter().map(Field::most_frequent);
    some.iter().copied().chain(rest).collect()
}

/// Scores combinations, each a value's number for each field.
pub(super) type Score<'a, E> = dyn FnMut(&[Vec<usize>]) -> Result<Vec<f64>, E> + 'a;

/// Whether all combinations are tried.
pub(super) fn is_exact(fields: &[Field]) -> bool {
    let mut product = 1usize;
    fields.iter().all(|f| {
        product = product.saturating_mul(f.values.len());
        product <= EXACT
    })
}

/// How the search is called in reports.
pub(super) fn name(fields: &[Field]) -> String {
    if is_exact(fields) { "exact".into() } else { format!("beam of {BEAM}") }
}

/// The best combination by `score`, which gets complete combinations and returns a number for each; of
/// equal ones the first. NaN is never best.
pub(super) fn best<E>(fields: &[Field], score: &mut Score<'_, E>) -> Result<Vec<usize>, E> {
    let exact = is_exact(fields);
    let mut kept: Vec<Vec<usize>> = vec![Vec::new()];
    for (depth, field) in fields.iter().enumerate() {
        let grown = kept.iter().flat_map(|some| {
            (0..field.values.len()).map(move |v| some.iter().copied().chain([v]).collect())
        });
        let grown: Vec<Vec<usize>> = grown.collect();
        let last = depth + 1 == fields.len();
        if !last && (exact || grown.len() <= BEAM) {
            kept = grown;
            continue;
        }
        let whole: Vec<Vec<usize>> = grown.iter().map(|some| complete(fields, some)).collect();
        let scores = score(&whole)?;
        let key = |i: &usize| if scores[*i].is_nan() { f64::NEG_INFINITY } else { scores[*i] };
        let mut order: Vec<usize> = (0..grown.len()).collect();
        order.sort_by(|a, b| key(b).total_cmp(&key(a)));
        order.truncate(if last { 1 } else { BEAM });
        kept = order.into_iter().map(|i| grown[i].clone()).collect();
    }
    Ok(kept.into_iter().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(values: usize) -> Field {
        Field {
            name: String::new(),
            columns: 0..1,
            values: (0..values).map(|v| vec![v as f32]).collect(),
            prior: vec![1.0 / values as f64; values],
        }
    }

    /// Digits of a number, all of which matter on their own.
    fn close_to(wanted: &[usize]) -> impl FnMut(&[Vec<usize>]) -> Result<Vec<f64>, ()> {
        let wanted = wanted.to_vec();
        move |all| {
            let off = |c: &Vec<usize>| -> f64 {
                c.iter().zip(&wanted).map(|(a, b)| (*a as f64 - *b as f64).abs()).sum()
            };
            Ok(all.iter().map(|c| -off(c)).collect())
        }
    }

    #[test]
    fn all_combinations_are_tried_where_they_are_few() {
        let fields = [field(3), field(4), field(2)];
        let mut asked = 0;
        let mut score = close_to(&[2, 1, 1]);
        let found = best(&fields, &mut |all| {
            asked += all.len();
            score(all)
        });
        assert_eq!((found.unwrap(), asked), (vec![2, 1, 1], 24));
        assert_eq!(name(&fields), "exact");
    }

    #[test]
    fn a_beam_finds_eight_digits_without_a_hundred_million_questions() {
        let fields: Vec<Field> = (0..8).map(|_| field(10)).collect();
        let wanted = [4, 0, 9, 1, 7, 3, 8, 2];
        let (mut asked, mut score) = (0, close_to(&wanted));
        let found = best(&fields, &mut |all| {
            asked += all.len();
            score(all)
        });
        assert_eq!(found.unwrap(), wanted);
        assert!(asked <= 8 * 10 * BEAM, "{asked}");
        assert_eq!(name(&fields), "beam of 64");
    }

    #[test]
    fn nan_is_never_best() {
        let mut score = |all: &[Vec<usize>]| {
            Ok::<_, ()>(
                all.iter().map(|c| if c[0] == 1 { f64::NAN } else { c[0] as f64 }).collect(),
            )
        };
        assert_eq!(best(&[field(3)], &mut score), Ok(vec![2]));
    }
}
