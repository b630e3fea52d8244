"""Did each arm get its share? A sequential multinomial test of the assignment itself.

An arm that loses requests, or gets those of another, spoils every comparison with it: the
challenger that crashes on hard requests looks good on the rest.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from core.rollout.evidence import Array, log_gamma
from core.rollout.limits import Limits
from core.rollout.tallies import Arms
from core.rollout.verdicts import Observation, nothing_to_compare

PRIOR = 0.5  # Jeffreys' Dirichlet


def sample_ratio_log_e(counts: Array, weights: ArrayLike) -> Array:
    """Evidence that units were not assigned by ``weights``.

    The likelihood of the counts averaged over a Dirichlet prior, against that of the weights::

        e = B(1/2 + counts) / B(1/2) / prod(weights ** counts)

    A martingale under the weights: it may be looked at after every unit.

    Parameters
    ----------
    counts
        Shape ``(..., arms)``. Units must be independent: entities, each counted once at its
        first request. Requests are not, as an entity sends many.
    weights
        Share of each arm, in ``(0, 1)``, together 1.

    References
    ----------
    Lindon & Malek (2022), "Anytime-valid inference for multinomial count data", Advances in
    Neural Information Processing Systems 35.

    Examples
    --------
    >>> counts = np.array([950.0, 50.0])
    >>> bool(sample_ratio_log_e(counts, (0.95, 0.05)) < 0)
    True
    >>> bool(sample_ratio_log_e(counts, (0.85, 0.15)) > math.log(1e6))
    True
    """
    shares = np.asarray(weights, dtype=np.float64)
    arms = len(shares)
    prior = float(log_gamma(np.array(PRIOR * arms))) - arms * math.lgamma(PRIOR)
    mixture = log_gamma(counts + PRIOR).sum(axis=-1) - log_gamma(counts.sum(axis=-1) + PRIOR * arms)
    return np.asarray(prior + mixture - (counts * np.log(shares)).sum(axis=-1), dtype=np.float64)


def exposure_log_e(arms: Arms, limits: Limits) -> Array:
    """Evidence that entities met the arms in another ratio than the period's weight.

    Each entity is counted at its first request in the experiment, with the weight then in
    force. 0 at a weight of 1, where there is nothing to divide.
    """
    del limits
    challenger, champion = arms.challenger.entities, arms.champion.entities
    if arms.weight >= 1:
        return np.zeros(challenger.shape)
    counts = np.stack([challenger, champion], axis=-1)
    return sample_ratio_log_e(counts, (arms.weight, 1 - arms.weight))


def exposure_observed(arms: Arms, limits: Limits) -> Observation:
    """Share of new entities that met the challenger, beside the setting."""
    del limits
    challenger, champion = float(arms.challenger.entities), float(arms.champion.entities)
    total = challenger + champion
    if total == 0:
        return nothing_to_compare("no new entity in this stage to compare", n_entities=0.0)
    if arms.weight >= 1:
        return nothing_to_compare("everybody meets the challenger: no ratio", n_entities=total)
    share = challenger / total
    return Observation(
        f"{share:.2%} of {total:.0f} new entities met the challenger, {arms.weight:.2%} were to",
        is_beyond=False,
        numbers={"share": share, "n_entities": total, "weight": arms.weight},
    )
