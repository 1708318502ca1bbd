//! The rules by name, with where each comes from.

/// A rule that can be asked for by name.
pub struct RuleEntry {
    /// Name on the command line and in configurations.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
}

/// Every rule.
pub const RULES: &[RuleEntry] = &[
    RuleEntry { name: "standard", summary: "the data as they are" },
    RuleEntry { name: "mixed", summary: "a share of each batch adversarial" },
    RuleEntry { name: "madry", summary: "adversarial samples only; Madry et al. 2018" },
    RuleEntry {
        name: "trades",
        summary: "clean loss, and how far predictions move nearby; Zhang et al. 2019",
    },
    RuleEntry {
        name: "mart",
        summary: "as trades, with weight on what is not learnt yet; Wang et al. 2020",
    },
    RuleEntry {
        name: "fast",
        summary: "one step from a random start, GradAlign as an option; Wong et al. 2020",
    },
    RuleEntry {
        name: "free",
        summary: "batches replayed, one gradient for weights and samples; Shafahi et al. 2019",
    },
    RuleEntry {
        name: "certified",
        summary: "the worst that bounds allow; Gowal et al. 2018, Zhang et al. 2020",
    },
    RuleEntry { name: "noise", summary: "the data under Gaussian noise; Cohen et al. 2019" },
    RuleEntry {
        name: "ensemble",
        summary: "adversarial samples of other models too; Tramer et al. 2018",
    },
    RuleEntry { name: "awp", summary: "another rule at perturbed weights; Wu et al. 2020" },
];

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::*;

    #[test]
    fn a_rule_has_one_name_everywhere() {
        let pgd = "attack = { type = \"pgd\", eps = 0.1 }";
        let rest = [
            "",
            "ratio = 0.5\nattacks = []",
            pgd,
            &format!("beta = 1.0\n{pgd}"),
            &format!("beta = 1.0\n{pgd}"),
            "eps = 0.1",
            "eps = 0.1\nreplays = 2",
            "eps = 0.1",
            "sigma = 0.25",
            &format!("models = []\n{pgd}"),
            "gamma = 0.1\nrule = { type = \"standard\" }",
        ];
        assert_eq!(RULES.len(), rest.len());
        for (entry, rest) in RULES.iter().zip(rest) {
            let text = format!("type = \"{}\"\n{rest}", entry.name);
            let rule: Rule = toml::from_str(&text).unwrap();
            assert_eq!(rule.name(), entry.name);
        }
    }
}
