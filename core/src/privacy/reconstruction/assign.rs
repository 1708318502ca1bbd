//! Which reconstruction is of which record: the assignment of least total cost, by the Hungarian
//! algorithm (Kuhn 1955, in the O(n^3) form with potentials).
//!
//! A batch has no order in its gradient, so a reconstruction must not be blamed for another one. Taking
//! the nearest record for each would let one good reconstruction count many times.

/// For a square matrix of costs, the column of each row in an assignment of least sum.
pub fn assign(costs: &[Vec<f64>]) -> Vec<usize> {
    let n = costs.len();
    // Column n stands for "none yet". Potentials keep reduced costs at least 0 on what was seen.
    let (mut row_potential, mut column_potential) = (vec![0.0; n], vec![0.0; n + 1]);
    let mut row_of = vec![usize::MAX; n + 1];
    for row in 0..n {
        row_of[n] = row;
        let mut column = n;
        let (mut least, mut before) = (vec![f64::INFINITY; n], vec![n; n]);
        let mut done = vec![false; n + 1];
        // The cheapest path of alternating edges from the row to a free column.
        while row_of[column] != usize::MAX {
            done[column] = true;
            let at = row_of[column];
            let (mut delta, mut next) = (f64::INFINITY, usize::MAX);
            for j in (0..n).filter(|&j| !done[j]) {
                let reduced = costs[at][j] - row_potential[at] - column_potential[j];
                if reduced < least[j] {
                    (least[j], before[j]) = (reduced, column);
                }
                if next == usize::MAX || least[j] < delta {
                    (delta, next) = (least[j], j);
                }
            }
            for j in 0..=n {
                if done[j] {
                    row_potential[row_of[j]] += delta;
                    column_potential[j] -= delta;
                } else if j < n {
                    least[j] -= delta;
                }
            }
            column = next;
        }
        while column != n {
            let previous = before[column];
            row_of[column] = row_of[previous];
            column = previous;
        }
    }
    let mut columns = vec![0; n];
    for (column, &row) in row_of[..n].iter().enumerate() {
        columns[row] = column;
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn total(costs: &[Vec<f64>], columns: &[usize]) -> f64 {
        columns.iter().enumerate().map(|(i, &j)| costs[i][j]).sum()
    }

    fn orders(n: usize) -> Vec<Vec<usize>> {
        if n == 0 {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for order in orders(n - 1) {
            for at in 0..n {
                let mut order = order.clone();
                order.insert(at, n - 1);
                all.push(order);
            }
        }
        all
    }

    #[test]
    fn no_other_assignment_costs_less() {
        let mut rng = Rng::new(3);
        for n in 1..=6 {
            for _ in 0..20 {
                let row = |rng: &mut Rng| (0..n).map(|_| rng.uniform(0.0, 1.0)).collect();
                let costs: Vec<Vec<f64>> = (0..n).map(|_| row(&mut rng)).collect();
                let got = assign(&costs);
                let best = orders(n).iter().map(|o| total(&costs, o)).fold(f64::MAX, f64::min);
                assert!((total(&costs, &got) - best).abs() < 1e-12);
                let mut sorted = got.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..n).collect::<Vec<_>>());
            }
        }
        assert!(assign(&[]).is_empty());
    }
}
