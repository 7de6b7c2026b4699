"""Molecules as SMILES (Weininger 1988): whether they could exist, differ, and are new."""

import numpy as np

from genjax.errors import UserError
from genjax.metrics.base import Statistics
from genjax.metrics.bootstrap import standard_error
from genjax.metrics.texts import Texts

__all__ = ["Molecules"]


class Molecules(Texts):
    """`validity`, `uniqueness`, `novelty`: shares, of which only all three together say something.

    A text is valid where RDKit reads a molecule of it and finds its valences possible. Equal molecules are those with
    one canonical SMILES of RDKit.

    Raises UserError where RDKit is not installed.
    """

    values = {
        "validity": "the share of samples that RDKit reads as a molecule",
        "uniqueness": "the share of valid samples that are left when equal molecules count once",
        "novelty": "the share of different valid samples that are none of the training molecules",
    }
    source = "Brown et al. 2019, arXiv:1811.09621, sections 3.1 to 3.3"
    against = "train"

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        try:
            from rdkit import Chem, rdBase
        except ImportError:
            raise UserError("smiles is judged by RDKit: pip install genjax-suite[chem]") from None
        self.chem, self.quiet = Chem, rdBase.BlockLogs

    def observe(self, batch: dict[str, np.ndarray]) -> None:
        """Keeps the training molecules as canonical texts alone."""
        rows: Statistics = {}
        self.add(rows, batch)
        known = self.references.setdefault("known", set())
        known.update(self._canonical(text) for text in self.spelled(rows))

    def result(self) -> dict[str, float]:
        made = [self._canonical(text) for text in self.spelled(self.outputs)]
        if not made:
            return {}
        valid_N = np.array([text is not None for text in made], np.float64)
        values = {"validity": float(valid_N.mean())}
        values["validity_se"] = standard_error(lambda weight_N: weight_N @ valid_N / weight_N.sum(), len(made))
        valid = [text for text in made if text is not None]
        if valid:
            values["uniqueness"] = len(set(valid)) / len(valid)
            values["novelty"] = len(set(valid) - self.references["known"]) / len(set(valid))
        return values

    def _canonical(self, text: str) -> str | None:
        """None for what is no molecule."""
        with self.quiet():
            molecule = self.chem.MolFromSmiles(text)
            return self.chem.MolToSmiles(molecule) if molecule is not None and molecule.GetNumAtoms() else None
