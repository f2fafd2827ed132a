"""Teaching a Listener what the phonetic layer makes of phones that are known."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from assets.speech_motion.augmentation import crowd, replayed, through_a_room
from assets.speech_motion.voices import Utterance
from avatars.speech.articulation import CHANNELS, CONTACTS, GESTURES, articulation
from avatars.speech.learned import HOP, LOOK_AHEAD, WIDTH, Ear, Listener
from avatars.speech.phones import SILENCE, Phone
from avatars.speech.prosody import prosody
from avatars.speech.sound import RATE

BATCH, LENGTH = 8, 400
"""Pieces a step, and frames of a piece."""
RATE_OF_LEARNING = 1.5e-3
FALSE_REST = 2.0
"""How many times worse a missed contact is than a false one."""
NAMING = 0.7
"""Weight of naming the phones, which teaches the layers what to listen for; the names are thrown away."""
NOT_SPEECH, CROWD = 0.08, 8
"""How often there is only a crowd to hear, of how many people: the face is to keep still."""
PHONES = sorted(GESTURES)


def learned(utterances: Sequence[Utterance], seconds: float, seed: int) -> Listener:
    """A listener taught for so many seconds of one core."""
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    listener, names = Listener(), nn.Linear(WIDTH, len(PHONES))
    weights = [*listener.parameters(), *names.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=RATE_OF_LEARNING, weight_decay=1e-3)
    start = time.process_time()
    for bands, targets, phones in _batches(utterances, chance):
        spent = (time.process_time() - start) / seconds
        if spent >= 1:
            return listener.eval()
        for group in optimizer.param_groups:
            group["lr"] = RATE_OF_LEARNING * min(1.0, 50 * spent + 0.05) * 0.5 * (1 + np.cos(np.pi * spent))
        known, _ = listener.hidden(bands, listener.start(len(bands)))
        known = known[:, LOOK_AHEAD:]
        loss = articulation_loss(listener.leave(known), targets)
        loss = loss + NAMING * functional.cross_entropy(names(known).transpose(1, 2), phones)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
    raise ValueError("there is nothing to learn from")


def articulation_loss(
    logits: Float[Tensor, "batch frame channel"], targets: Float[Tensor, "batch frame channel"]
) -> Float[Tensor, ""]:
    """Squares for openings, in units of a fifth of the channel; cross entropy for contacts."""
    free = len(CHANNELS) - CONTACTS
    squares = (torch.sigmoid(logits[..., :free]) - targets[..., :free]).square().mean() * 25
    worse = torch.tensor(FALSE_REST)
    contacts = functional.binary_cross_entropy_with_logits(logits[..., free:], targets[..., free:], pos_weight=worse)
    return squares + contacts


def _batches(utterances: Sequence[Utterance], chance: np.random.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches without end: bands, and the articulation and phone of each frame LOOK_AHEAD before."""
    pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    while True:
        for index in chance.permutation(len(utterances)):
            others = [utterances[i].sound for i in chance.integers(len(utterances), size=CROWD)]
            said = utterances[index]
            if chance.random() < NOT_SPEECH:
                noise = crowd(others, len(said.sound), chance)
                said = Utterance(noise, [Phone(SILENCE, 0.0, len(noise) / RATE)], "crowd")
            pieces += _pieces(said, others[0], chance)
            if len(pieces) >= 4 * BATCH:
                order = chance.permutation(len(pieces))[:BATCH]
                bands, targets, phones = zip(*(pieces[i] for i in order), strict=True)
                pieces = [piece for i, piece in enumerate(pieces) if i not in set(order)]
                yield (
                    torch.from_numpy(np.stack(bands)),
                    torch.from_numpy(np.stack(targets)[:, :-LOOK_AHEAD]),
                    torch.from_numpy(np.stack(phones)[:, :-LOOK_AHEAD]),
                )


def _pieces(
    utterance: Utterance, others: np.ndarray, chance: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The utterance between pauses, in pieces of LENGTH frames."""
    sound, phones = replayed(utterance.sound, utterance.phones, chance)
    before, after = (int(RATE * chance.uniform(0, 1.5)) for _ in range(2))
    length = -(-(before + len(sound) + after) // (LENGTH * HOP)) * LENGTH * HOP
    padded = np.pad(sound, (before, length - before - len(sound)))
    bands = Ear().bands(np.append(through_a_room(padded, others, chance), np.zeros(HOP, np.float32)))
    times = np.arange(len(bands)) * HOP / RATE - before / RATE
    targets = articulation(phones, times, prosody(sound).effort(times)).astype(np.float32)
    starts = np.array([phone.start for phone in phones])
    spoken = (times >= starts[0]) & (times < phones[-1].end)
    names = np.array([PHONES.index(phone.name) for phone in phones])
    named = np.where(spoken, names[np.searchsorted(starts, times, side="right") - 1], PHONES.index(SILENCE))
    for first in range(0, len(bands) - LENGTH + 1, LENGTH):
        here = slice(first, first + LENGTH)
        yield bands[here], targets[here], named[here]
