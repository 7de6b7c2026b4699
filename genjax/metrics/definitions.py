"""What the numbers of an evaluation say, in words that a reader can cite: likelihoods, and the metrics on samples."""

import re
from typing import NamedTuple

from genjax.metrics import METRICS

__all__ = ["LIKELIHOODS", "Definition", "define", "markdown", "of_samples", "value_of"]

SE = "_se"  # the end of the name of a standard error


class Definition(NamedTuple):
    text: str
    source: str
    higher_is_better: bool


def _lower(text: str, source: str = "genjax") -> Definition:
    return Definition(text, source, False)


def _higher(text: str, source: str = "genjax") -> Definition:
    return Definition(text, source, True)


# What models report of validation examples. K in a name stands for a number, A and B for fields.
LIKELIHOODS = {
    "elbo": _higher(
        "nats an example: a lower bound of log p(x), E log p(x | z) - KL(q(z | x) | p(z)), from one z an example",
        "Kingma & Welling 2014, arXiv:1312.6114, equation 3",
    ),
    "reconstruction": _higher("nats an example: E log p(x | z), the first summand of the ELBO, from one z an example"),
    "kl": _lower("nats an example: KL(q(z | x) | p(z)), the second summand of the ELBO, in closed form"),
    "nll_iwaeK": _lower(
        "nats an example: an upper bound of -log p(x), the importance-weighted one of K draws of z",
        "Burda et al. 2016, arXiv:1509.00519, equation 8",
    ),
    "vlb_bits_per_dim": _lower(
        "bits a dimension of the image in 256 levels: DDPM's variational bound of -log2 p(x), whose decoder gives each "
        "level its own probability, so that nothing is dequantized",
        "Ho et al. 2020, arXiv:2006.11239, equations 5 and 13",
    ),
    "vlb_bits_per_dim_error": _lower("the standard error of vlb_bits_per_dim, from two levels of noise an example"),
    "odeK_bits_per_dim": _lower(
        "bits a dimension of the image in 256 levels: -log2 p(x + u) of the probability-flow ODE in K steps, with "
        "uniform dequantization noise u, one draw an example: a bound of -log2 P(x)",
        "Song et al. 2021, arXiv:2011.13456, appendix D.2; Theis et al. 2016, arXiv:1511.01844, section 3.1",
    ),
    "nll": _lower("nats: the mean of -log p of the right class, token or text"),
    "loss": _lower(
        "what is trained, on validation examples; of a language model nats a token of its tokenizer, over the "
        "targets that count"
    ),
    "bits_per_byte": _lower(
        "the bits of all targets of a text over its UTF-8 bytes: comparable between tokenizers; its own count stands "
        "beside it"
    ),
    "image_nll": _lower("nats a token of the picture's code, given its text or class, as DALL-E has them"),
    "text_nll": _lower("nats a token of the caption, its end included"),
    "caption_nll": _lower("nats a token of the caption given its picture, its end included"),
    "image_to_caption_rK": _higher(
        "R@K: the share of pictures with fewer than K other captions, among the different ones of `pairs_count` "
        "examples, at least as near as their own"
    ),
    "caption_to_image_rK": _higher(
        "R@K: the share of different captions with fewer than K pictures of other captions, among `pairs_count` "
        "examples, at least as near as the nearest of their own"
    ),
    "mse": _lower("the mean square error of reconstructions, of pixel values in [-1, 1]"),
    "mse_db": _higher("dB: the peak signal-to-noise ratio of `mse`, 10 log10(4 / mse)"),
    "perceptual": _lower(
        "the squared distance between normalized features of pictures and their reconstructions, summed over the "
        "layers of one network, all weights 1: comparable for one network alone",
        "Zhang et al. 2018, arXiv:1801.03924, equation 1",
    ),
    "codebook_use": _higher("the share of a codebook's codes that the validation split takes at least once"),
    "codebook_perplexity": _higher("exp of the entropy of how often each code is taken: all codes alike are K"),
    "perplexity": _lower("exp of the nats a token: comparable for one tokenizer alone"),
    "macro_f1": _higher("the mean over classes of F1, 2 right / (said + true): every class weighs alike"),
    "baseline_accuracy": _higher(
        "the accuracy of logistic regression over TF-IDF of words, pairs of words, letters, learned from the same texts"
    ),
    "baseline_macro_f1": _higher("the macro F1 of the same logistic regression"),
    "cluster_accuracy": _higher(
        "the share of examples whose first code, as the network finds it, is the one assigned to their label: the best "
        "assignment one to one",
        "Kuhn 1955, doi:10.1002/nav.3800020109",
    ),
    "A_from_B": _higher(
        "the share of examples whose view A, a text or label, is decoded rightly as a whole from the mean of "
        "q(z | B), B another view"
    ),
    "log_likelihood": _higher("nats a split: the sum of log p over its sequences"),
    "aic": _lower(
        "2 k - 2 log p of a split, with k free parameters: Akaike's criterion",
        "Akaike 1974, doi:10.1109/TAC.1974.1100705",
    ),
    "bic": _lower(
        "k log n - 2 log p of a split, with k free parameters and n observations: Schwarz's criterion",
        "Schwarz 1978, doi:10.1214/aos/1176344136",
    ),
    "choice": _higher("the share of questions whose right answer has, of all its choices, the highest likelihood"),
    "accuracy": _higher("the share of classes, or of tokens given the true ones before them, that are named rightly"),
}


def value_of(name: str) -> str:
    """`fd297_digits`, `fd297_digits_se` and `task/fd50k` are values of `fd`; any other name is its own."""
    name = name.rpartition("/")[2]
    for value in sorted((value for metric in METRICS.values() for value in metric.values), key=len, reverse=True):
        if re.fullmatch(rf"{value}\d+k?(_.*)?|{value}({SE})?", name):
            return value
    for value in LIKELIHOODS:
        if re.fullmatch(re.sub("[AB]", ".+", value).replace("K", r"\d+"), name):
            return value
    return name


def of_samples(name: str) -> bool:
    """Whether the name is that of a metric on samples."""
    return any(value_of(name) in metric.values for metric in METRICS.values())


def define(name: str) -> Definition | None:
    """The definition of a reported name; None where there is none."""
    value = value_of(name)
    for metric in METRICS.values():
        if value in metric.values:
            return Definition(metric.values[value], metric.source, metric.higher_is_better or value in metric.higher)
    return LIKELIHOODS.get(value)


def markdown() -> str:
    """The tables of docs/metrics.md."""
    samples = [(f"`{value}`", f"`{name}`", *_cells(define(value))) for name, m in METRICS.items() for value in m.values]
    models = [(f"`{name}`", *_cells(known)) for name, known in LIKELIHOODS.items()]
    return "\n\n".join(
        (
            "## Samples against data",
            _table(("value", "--metrics", "better", "definition", "source"), samples),
            "## Likelihoods",
            _table(("value", "better", "definition", "source"), models),
        )
    )


def _cells(known: Definition) -> tuple[str, str, str]:
    return "higher" if known.higher_is_better else "lower", known.text, known.source


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
