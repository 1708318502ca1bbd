//! What noise has to be: its variance, its tails, draws that know nothing of each other, and values
//! that come again no more often than rounding makes them.
//!
//! Seeds are fixed, so a test passes always or never; thresholds are those that a right sampler
//! exceeds once in a thousand seeds, or four standard errors.

use super::*;

const COUNT: usize = 3 * STRETCH;

/// Standard normal values of one secret, over three streams.
fn sample(secret: &Secret) -> Vec<f64> {
    sample_of(COUNT, secret)
}

fn sample_of(count: usize, secret: &Secret) -> Vec<f64> {
    drawn(
        count,
        |i| {
            let mut s = secret.stream(i);
            move |values: &mut [f64]| s.fill(values)
        },
        |x| x,
    )
}

fn seeded() -> Secret {
    Secret::seeded(&Rng::new(20))
}

fn drawn<T: Copy + Default + Send, D: FnMut(&mut [f64])>(
    count: usize,
    open: impl Fn(u64) -> D + Sync,
    make: impl Fn(f64) -> T + Sync,
) -> Vec<T> {
    let mut values = vec![T::default(); count];
    draw(&mut values, open, |value, normal| *value = make(normal));
    values
}

fn cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// Kolmogorov and Smirnov's distance from the standard normal distribution.
fn distance(mut sample: Vec<f64>) -> f64 {
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    let gap = |(i, &x): (usize, &f64)| {
        (cdf(x) - i as f64 / n).abs().max(((i + 1) as f64 / n - cdf(x)).abs())
    };
    sample.iter().enumerate().map(gap).fold(0.0, f64::max)
}

/// The distance exceeded once in a thousand samples of that size.
fn usual_distance(n: usize) -> f64 {
    1.95 / (n as f64).sqrt()
}

/// Pearson's statistic of a sample in the cells between -4, -3.5, ..., 4 and beyond: 17 degrees of
/// freedom.
fn chi_square(sample: &[f64]) -> f64 {
    let cells = 18;
    let cell = |x: f64| (2.0 * x + 9.0).floor().clamp(0.0, f64::from(cells - 1)) as usize;
    let mut counts = vec![0.0; cells as usize];
    sample.iter().for_each(|x| counts[cell(*x)] += 1.0);
    let edge = |i: i32| match i {
        0 => 0.0,
        i if i == cells => 1.0,
        i => cdf(f64::from(i) / 2.0 - 4.5),
    };
    let expected = |i: i32| sample.len() as f64 * (edge(i + 1) - edge(i));
    (0..cells).map(|i| (counts[i as usize] - expected(i)).powi(2) / expected(i)).sum()
}

/// The 0.999 quantile of chi-square with 17 degrees of freedom.
const USUAL_CHI_SQUARE: f64 = 40.8;

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>() / a.len() as f64
}

/// A million values: every moment up to the fourth, the whole distribution, and the tails by count.
#[test]
fn a_million_values_are_normal() {
    let sample = sample_of(1_000_000, &seeded());
    let n = sample.len() as f64;
    let moment = |k: i32| sample.iter().map(|x| x.powi(k)).sum::<f64>() / n;
    // The variances of x, x^2, x^3 and x^4 are 1, 2, 15 and 96.
    assert!(moment(1).abs() < 4.0 / n.sqrt());
    assert!(moment(3).abs() < 4.0 * (15.0 / n).sqrt(), "{}", moment(3));
    assert!((moment(2) - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{}", moment(2));
    assert!((moment(4) - 3.0).abs() < 4.0 * (96.0 / n).sqrt(), "{}", moment(4));
    for beyond in [2.0, 3.0, 3.5, 4.0, 4.5] {
        for sign in [-1.0, 1.0] {
            let count = sample.iter().filter(|x| *x * sign > beyond).count() as f64;
            let expected = n * cdf(-beyond);
            // A count as small as the last, of 3.4, is not normal: four deviations and one.
            let off = (count - expected).abs();
            assert!(off < 4.0 * expected.sqrt() + 1.0, "{count} beyond {beyond} for {expected}");
        }
    }
    let found = chi_square(&sample);
    assert!(found < USUAL_CHI_SQUARE, "{found}");
    assert!(distance(sample) < usual_distance(1_000_000));
}

#[test]
fn distribution_and_tails_are_normal() {
    for secret in [seeded(), Secret::seeded(&Rng::new(21)).child("noise").index(9)] {
        let sample = sample(&secret);
        let found = chi_square(&sample);
        assert!(found < USUAL_CHI_SQUARE, "{found}");
        assert!(distance(sample) < usual_distance(COUNT));
    }
}

#[test]
fn the_checks_of_the_distribution_can_fail() {
    let mut wide: Vec<f64> = sample(&seeded()).into_iter().map(|x| 1.05 * x).collect();
    assert!(distance(wide.clone()) > usual_distance(COUNT));
    assert!(chi_square(&wide) > USUAL_CHI_SQUARE);
    wide.iter_mut().for_each(|x| *x = (*x / 1.05).clamp(-3.4, 3.4));
    assert!(chi_square(&wide) > USUAL_CHI_SQUARE, "cut tails went unnoticed");
}

#[test]
fn stretches_steps_and_parameters_are_independent() {
    let secret = seeded();
    let here = sample(&secret);
    let elsewhere = [
        sample(&secret.index(0)),
        sample(&secret.index(1)),
        sample(&secret.index(0).index(1)),
        sample(&secret.child("noise")),
        sample(&Secret::seeded(&Rng::new(22))),
    ];
    for (i, other) in elsewhere.iter().enumerate() {
        let found = correlation(&here, other);
        assert!(found.abs() < 4.0 / (COUNT as f64).sqrt(), "{i}: {found}");
    }
    // Numbers 64 apart are of the same pairs of draws.
    for lag in [1, 2, 4, 64, 128, STRETCH, 2 * STRETCH] {
        let found = correlation(&here[lag..], &here[..COUNT - lag]);
        assert!(found.abs() < 4.0 / ((COUNT - lag) as f64).sqrt(), "{lag}: {found}");
    }
    // Squares show dependence that correlation does not.
    let square = |x: &[f64]| x.iter().map(|x| (x * x - 1.0) / 2.0_f64.sqrt()).collect::<Vec<_>>();
    for lag in [1, 64, 128] {
        let found = correlation(&square(&here[lag..]), &square(&here[..COUNT - lag]));
        assert!(found.abs() < 4.0 / (COUNT as f64).sqrt(), "{lag}: {found}");
    }
}

/// Both numbers of the same draws together: uniform over angles, and their squares add up to what the
/// exponential distribution of mean 2 says.
#[test]
fn numbers_of_the_same_draws_are_a_round_cloud() {
    let here = sample(&seeded());
    let points: Vec<[f64; 2]> = here
        .chunks_exact(128)
        .flat_map(|group| (0..64).map(|i| [group[i], group[64 + i]]))
        .collect();
    let n = points.len() as f64;
    let uniform: [fn(&[f64; 2]) -> f64; 2] = [
        |[x, y]| y.atan2(*x) / std::f64::consts::TAU + 0.5,
        |[x, y]| (-0.5 * (x * x + y * y)).exp(),
    ];
    for (what, part) in ["angles", "radii"].iter().zip(uniform) {
        let mut parts: Vec<f64> = points.iter().map(part).collect();
        parts.sort_by(f64::total_cmp);
        let gap = |(i, x): (usize, &f64)| (x - (i as f64 + 0.5) / n).abs();
        let found = parts.iter().enumerate().map(gap).fold(0.0, f64::max);
        assert!(found < usual_distance(points.len()), "{what}: {found}");
    }
}

/// Pairs of equal values.
fn repeats<T: PartialEq + Copy>(sorted: &[T]) -> usize {
    sorted.windows(2).filter(|pair| pair[0] == pair[1]).count()
}

#[test]
fn doubles_never_come_again_and_floats_as_often_as_rounding_says() {
    let mut doubles = sample(&seeded());
    doubles.sort_by(f64::total_cmp);
    assert_eq!(repeats(&doubles), 0);

    let secret = seeded();
    let open = |i| {
        let mut s = secret.stream(i);
        move |values: &mut [f64]| s.fill(values)
    };
    let mut floats: Vec<f32> = drawn(COUNT, open, |x| x as f32);
    floats.sort_by(f32::total_cmp);
    // Two of n values are equal with the sum of squared probabilities: the integral of the squared
    // density times the spacing of floats, which is 2^(e-23) in [2^e, 2^(e+1)).
    let pairs = COUNT as f64 * (COUNT as f64 - 1.0) / 2.0;
    let squared = |a: f64, b: f64| {
        // The integral of phi^2 is that of a normal density of variance 1/2, over 2 sqrt(pi).
        let wide = std::f64::consts::SQRT_2;
        (cdf(b * wide) - cdf(a * wide)) / (2.0 * std::f64::consts::PI.sqrt())
    };
    let binade =
        |e: i32| 2.0 * 2.0_f64.powi(e - 23) * squared(2.0_f64.powi(e), 2.0_f64.powi(e + 1));
    let expected = pairs * (-30..3).map(binade).sum::<f64>();
    let found = repeats(&floats) as f64;
    assert!(expected > 30.0, "{expected} are too few to say anything");
    assert!((found - expected).abs() < 4.0 * expected.sqrt(), "{found} for {expected}");
}

#[test]
fn runs_of_the_operating_system_differ() {
    let [a, b] = [0, 1].map(|_| sample(&Secret::from_os().unwrap()));
    assert!(a.iter().zip(&b).all(|(x, y)| x != y));
    assert!(correlation(&a, &b).abs() < 6.0 / (COUNT as f64).sqrt());
    assert!(distance(a) < 1.5 * usual_distance(COUNT));
}

#[test]
fn threads_do_not_matter() {
    let secret = seeded();
    let open = |i| {
        let mut s = secret.stream(i);
        move |values: &mut [f64]| s.fill(values)
    };
    let all = drawn(COUNT + 5, open, |x| x);
    for (i, stretch) in all.chunks(STRETCH).enumerate() {
        let mut stream = secret.stream(i as u64);
        assert!(stretch.iter().all(|x| *x == stream.normal()), "stretch {i}");
    }
    assert!(drawn(0, open, |x| x).is_empty());
}
