"""How each tool is asked for the attack of a row: by kind and norm, with the constants that the row states
for Inocula. What a tool cannot be told stays at its default."""

import art.attacks.evasion as art
import foolbox
import foolbox.attacks as fb
import numpy as np
import torch
import torchattacks as ta
from art.estimators.classification import PyTorchClassifier

CLASSES = 10
# A ball that holds the whole box, for attacks that must be told one.
EVERYTHING = {"linf": 1.0, "l2": 28.0, "l1": 784.0}


def torchattacks(make):
    """An attack of torchattacks, made by `make(network, constant)`."""
    return lambda task: make(task.network, task.constant)(task.x, task.y)


def foolbox_attack(make):
    """An attack of Foolbox, at the radius that the row states if it does."""

    def run(task):
        model = foolbox.PyTorchModel(task.network, bounds=(0, 1), device="cpu")
        eps = task.config.get("eps")
        _, clipped, _ = make(task.constant)(model, task.x, task.y, epsilons=eps)
        return clipped

    return run


def art_attack(make):
    """An attack of ART, made by `make(estimator, constant, batch)`."""

    def run(task):
        estimator = PyTorchClassifier(
            task.network,
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=(1, 28, 28),
            nb_classes=CLASSES,
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )
        labels = np.eye(CLASSES, dtype=np.float32)[task.y.numpy()]
        return make(estimator, task.constant, len(task.x)).generate(task.x.numpy(), labels)

    return run


def fab(norm):
    # With the targets of AutoAttack, without which its loss is another.
    return torchattacks(
        lambda net, c: ta.FAB(
            net,
            norm=norm,
            eps=EVERYTHING[norm.lower()],
            steps=c("steps"),
            n_restarts=c("restarts", 1),
            multi_targeted=True,
            n_classes=CLASSES,
        )
    )


def ta_pgd(attack):
    return torchattacks(
        lambda net, c: attack(
            net, eps=c("eps"), alpha=c("step"), steps=c("steps"), random_start=c("random_start")
        )
    )


def ta_apgd(norm):
    def make(net, c):
        settings = {"norm": norm, "eps": c("eps"), "steps": c("steps")}
        if c("targets", 0):
            return ta.APGDT(net, **settings, n_classes=CLASSES)
        return ta.APGD(net, **settings, loss="ce")

    return torchattacks(make)


TORCHATTACKS = {
    ("fgsm", "linf"): torchattacks(lambda net, c: ta.FGSM(net, eps=c("eps"))),
    ("pgd", "linf"): ta_pgd(ta.PGD),
    ("pgd", "l2"): ta_pgd(ta.PGDL2),
    ("mi_fgsm", "linf"): torchattacks(
        lambda net, c: ta.MIFGSM(
            net, eps=c("eps"), alpha=c("step"), steps=c("steps"), decay=c("decay")
        )
    ),
    ("apgd", "linf"): ta_apgd("Linf"),
    ("apgd", "l2"): ta_apgd("L2"),
    ("cw", "l2"): torchattacks(lambda net, c: ta.CW(net, c=1, steps=c("steps"), lr=c("lr"))),
    ("deep_fool", "l2"): torchattacks(
        lambda net, c: ta.DeepFool(net, steps=c("steps"), overshoot=c("overshoot"))
    ),
    ("fab", "linf"): fab("Linf"),
    ("fab", "l2"): fab("L2"),
    ("ead", "l1"): torchattacks(
        lambda net, c: ta.EADL1(
            net,
            lr=c("lr"),
            binary_search_steps=c("searches"),
            max_iterations=c("steps"),
            initial_const=c("weight"),
            beta=c("beta"),
        )
    ),
    ("square", "linf"): torchattacks(
        lambda net, c: ta.Square(net, norm="Linf", eps=c("eps"), n_queries=c("queries"))
    ),
    ("square", "l2"): torchattacks(
        lambda net, c: ta.Square(net, norm="L2", eps=c("eps"), n_queries=c("queries"))
    ),
}


def fb_pgd(attack):
    return foolbox_attack(
        lambda c: attack(abs_stepsize=c("step"), steps=c("steps"), random_start=c("random_start"))
    )


def fb_fmn(attack):
    return foolbox_attack(lambda c: attack(steps=c("steps")))


def fb_deep_fool(attack):
    return foolbox_attack(
        lambda c: attack(steps=c("steps"), overshoot=c("overshoot"), candidates=CLASSES)
    )


# Queries of a round of HopSkipJump that its gradient estimate does not ask: the walk to the boundary.
WALK = 40


def rounds(queries):
    """The most rounds of HopSkipJump that ask no more than so many."""
    spent, count = 0.0, 0
    while spent + 100 * (count + 1) ** 0.5 + WALK <= queries:
        count += 1
        spent += 100 * count**0.5 + WALK
    return max(count, 1)


def fb_hop(constraint):
    return foolbox_attack(
        lambda c: fb.HopSkipJumpAttack(steps=rounds(c("queries")), constraint=constraint)
    )


FOOLBOX = {
    ("fgsm", "linf"): foolbox_attack(lambda c: fb.LinfFastGradientAttack(random_start=False)),
    ("fgsm", "l2"): foolbox_attack(lambda c: fb.L2FastGradientAttack(random_start=False)),
    ("pgd", "linf"): fb_pgd(fb.LinfProjectedGradientDescentAttack),
    ("pgd", "l2"): fb_pgd(fb.L2ProjectedGradientDescentAttack),
    ("pgd", "l1"): fb_pgd(fb.L1ProjectedGradientDescentAttack),
    ("cw", "l2"): foolbox_attack(
        lambda c: fb.L2CarliniWagnerAttack(
            binary_search_steps=c("searches"),
            steps=c("steps"),
            stepsize=c("lr"),
            initial_const=c("weight"),
        )
    ),
    ("deep_fool", "l2"): fb_deep_fool(fb.L2DeepFoolAttack),
    ("deep_fool", "linf"): fb_deep_fool(fb.LinfDeepFoolAttack),
    ("ddn", "l2"): foolbox_attack(lambda c: fb.DDNAttack(steps=c("steps"))),
    ("fmn", "linf"): fb_fmn(fb.LInfFMNAttack),
    ("fmn", "l2"): fb_fmn(fb.L2FMNAttack),
    ("fmn", "l1"): fb_fmn(fb.L1FMNAttack),
    ("fmn", "l0"): fb_fmn(fb.L0FMNAttack),
    ("ead", "l1"): foolbox_attack(
        lambda c: fb.EADAttack(
            binary_search_steps=c("searches"),
            steps=c("steps"),
            initial_stepsize=c("lr"),
            initial_const=c("weight"),
            regularization=c("beta"),
            decision_rule="L1",
        )
    ),
    ("hop_skip_jump", "l2"): fb_hop("l2"),
    ("hop_skip_jump", "linf"): fb_hop("linf"),
    # Besides its steps it asks for its start and its statistics, a sixth of all.
    ("boundary", "l2"): foolbox_attack(lambda c: fb.BoundaryAttack(steps=c("queries") * 5 // 6)),
    ("spatial", None): foolbox_attack(
        lambda c: fb.SpatialAttack(
            max_translation=c("pixels"),
            max_rotation=c("degrees"),
            num_translations=c("shifts"),
            num_rotations=c("angles"),
        )
    ),
}


def art_pgd(norm):
    return art_attack(
        lambda net, c, batch: art.ProjectedGradientDescent(
            net,
            norm=norm,
            eps=c("eps"),
            eps_step=c("step"),
            max_iter=c("steps"),
            num_random_init=int(c("random_start")),
            batch_size=batch,
            verbose=False,
        )
    )


def art_fgm(norm):
    return art_attack(
        lambda net, c, batch: art.FastGradientMethod(
            net, norm=norm, eps=c("eps"), batch_size=batch
        )
    )


def art_apgd(norm):
    def make(net, c, batch):
        return art.AutoProjectedGradientDescent(
            net,
            norm=norm,
            eps=c("eps"),
            eps_step=2 * c("eps"),
            max_iter=c("steps"),
            nb_random_init=c("restarts", 1),
            batch_size=batch,
            loss_type="cross_entropy",
            verbose=False,
        )

    # It has no targets of its own choice.
    run = art_attack(make)
    return lambda task: None if task.config.get("targets") else run(task)


def art_square(norm):
    return art_attack(
        lambda net, c, batch: art.SquareAttack(
            net, norm=norm, eps=c("eps"), max_iter=c("queries"), batch_size=batch, verbose=False
        )
    )


def art_hop(norm):
    return art_attack(
        lambda net, c, batch: art.HopSkipJump(
            net, norm=norm, max_iter=rounds(c("queries")), batch_size=batch, verbose=False
        )
    )


ART = {
    ("fgsm", "linf"): art_fgm(np.inf),
    ("fgsm", "l2"): art_fgm(2),
    ("pgd", "linf"): art_pgd(np.inf),
    ("pgd", "l2"): art_pgd(2),
    ("pgd", "l1"): art_pgd(1),
    ("apgd", "linf"): art_apgd(np.inf),
    ("apgd", "l2"): art_apgd(2),
    ("apgd", "l1"): art_apgd(1),
    ("cw", "l2"): art_attack(
        lambda net, c, batch: art.CarliniL2Method(
            net,
            binary_search_steps=c("searches"),
            max_iter=c("steps"),
            learning_rate=c("lr"),
            initial_const=c("weight"),
            batch_size=batch,
            verbose=False,
        )
    ),
    ("deep_fool", "l2"): art_attack(
        lambda net, c, batch: art.DeepFool(
            net, max_iter=c("steps"), epsilon=c("overshoot"), batch_size=batch, verbose=False
        )
    ),
    # It asks four times in each step, and twice is what the others do.
    ("ead", "l1"): art_attack(
        lambda net, c, batch: art.ElasticNet(
            net,
            learning_rate=c("lr"),
            binary_search_steps=c("searches"),
            max_iter=c("steps") // 2,
            initial_const=c("weight"),
            beta=c("beta"),
            batch_size=batch,
            decision_rule="L1",
            verbose=False,
        )
    ),
    ("square", "linf"): art_square(np.inf),
    ("square", "l2"): art_square(2),
    ("hop_skip_jump", "l2"): art_hop(2),
    ("hop_skip_jump", "linf"): art_hop(np.inf),
    ("spatial", None): art_attack(
        lambda net, c, batch: art.SpatialTransformation(
            net,
            # In percent of the image.
            max_translation=100 * c("pixels") / 28,
            num_translations=c("shifts"),
            max_rotation=c("degrees"),
            num_rotations=c("angles"),
            verbose=False,
        )
    ),
}

TOOLS = {"torchattacks": TORCHATTACKS, "foolbox": FOOLBOX, "art": ART}
