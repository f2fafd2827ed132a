"""How people differ: a linear basis with a unit-variance prior, from sampled adults and published anthropometry."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def principal_modes(factors: Float[Tensor, "factor vertex 3"], count: int) -> Float[Tensor, "identity vertex 3"]:
    """The strongest directions of the covariance Σ factor ⊗ factor, at one standard deviation, each with its largest
    entry positive."""
    flat = factors.flatten(1)
    _, vectors = torch.linalg.eigh((flat @ flat.T).double())
    modes = vectors.flip(1)[:, :count].T.float() @ flat
    largest = modes.gather(1, modes.abs().argmax(1, keepdim=True))
    return (modes * largest.sign()).unflatten(1, factors.shape[1:])


def with_measures(
    mean: Float[Tensor, "vertex 3"],
    modes: Float[Tensor, "identity vertex 3"],
    gauges: Float[Tensor, "measure vertex 3"],
    measures: Float[Tensor, " measure"],
) -> Float[Tensor, "vertex 3"]:
    """The likeliest head of the population mean + z·modes that has these measures, gauges·head."""
    flat, gauge = modes.double().flatten(1), gauges.double().flatten(1)
    missing = measures.double() - gauge @ mean.double().flatten()
    return mean + (flat.T @ torch.linalg.pinv(gauge @ flat.T) @ missing).to(mean).unflatten(0, mean.shape)


def with_covariance(
    modes: Float[Tensor, "identity vertex 3"],
    gauges: Float[Tensor, "measure vertex 3"],
    covariance: Float[Tensor, "measure measure"],
) -> Float[Tensor, "identity vertex 3"]:
    """Modes of a population whose measures gauges·head have this covariance; what they do not determine stays.

    With loadings M = gauges·modes, the part of z that the measures determine is M⁺Mz. It is replaced by M⁺TMz, where T
    carries the covariance MMᵀ to the wanted one with the least change (optimal transport between Gaussians; Olkin and
    Pukelsheim 1982).
    """
    flat = modes.double().flatten(1)
    loadings = gauges.double().flatten(1) @ flat.T
    own = loadings @ loadings.T
    root, inverse_root = _matrix_power(own, 0.5), _matrix_power(own, -0.5)
    carry = inverse_root @ _matrix_power(root @ covariance @ root, 0.5) @ inverse_root
    change = torch.linalg.pinv(loadings) @ (carry - torch.eye(len(carry), dtype=carry.dtype)) @ loadings
    return principal_modes((flat + change.T @ flat).float().unflatten(1, modes.shape[1:]), len(modes))


def aligned(people: Float[Tensor, "person vertex 3"], on: Int[Tensor, " some"]) -> Float[Tensor, "person vertex 3"]:
    """People laid over each other and scaled to one size (generalised Procrustes alignment, Gower 1975), over some of
    their vertices."""
    mean = people.mean(0)
    for _ in range(3):
        batches = []
        for batch in people.split(200):
            scale, rotation, translation = fit_similarity(batch[:, on], mean[on])
            batches.append(scale * batch @ rotation.mT + translation)
        people = torch.cat(batches)
        mean = people.mean(0)
    return people


def fit_similarity(
    source: Float[Tensor, "*batch point 3"], target: Float[Tensor, "*batch point 3"]
) -> tuple[Float[Tensor, "*batch 1 1"], Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch 1 3"]]:
    """Scale s, rotation R and translation t that bring s·R·source + t nearest to the target (Umeyama 1991)."""
    source_middle, target_middle = source.mean(-2, keepdim=True), target.mean(-2, keepdim=True)
    arms, goals = source - source_middle, target - target_middle
    u, singular, vt = torch.linalg.svd(goals.mT @ arms)
    sign = torch.ones_like(singular)
    sign[..., 2] = torch.linalg.det(u @ vt).sign()
    rotation = u * sign[..., None, :] @ vt
    scale = (singular * sign).sum(-1) / arms.square().sum((-1, -2))
    scale = scale[..., None, None]
    return scale, rotation, target_middle - scale * source_middle @ rotation.mT


def _matrix_power(matrix: Tensor, exponent: float) -> Tensor:
    """Of a symmetric positive definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=1e-12 * float(values.max())) ** exponent @ vectors.T
