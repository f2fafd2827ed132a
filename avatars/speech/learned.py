"""The learned layer: a small causal network hears an articulation in any voice, live.

Sound becomes mel bands against the loudest moment of the last seconds, and passes dilated causal convolutions (van den
Oord et al., "WaveNet", 2016). What is said of a moment is known LOOK_AHEAD frames later; with half a window that is
0.1 s behind the sound. Weights: assets/speech_motion.
"""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import as_file, files
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from avatars.speech.articulation import CHANNELS, CONTACTS
from avatars.speech.sound import RATE

HOP, WINDOW = RATE // 100, RATE // 40
"""Samples from frame to frame, and of a frame's window, whose middle is the frame's time."""
TRANSFORM = 512
"""Samples of a Fourier transform."""
BANDS, LOWEST, HIGHEST = 40, 60.0, 7600.0
"""Mel bands, and the frequencies they cover, Hz."""
FORGETTING, QUIET, FLOOR = 3.0, 1e-7, 1e-4
"""Seconds over which a loud moment is forgotten (to 1/e), the least power that counts as loud, and the part of the loud
power under which bands are alike (-40 dB)."""
LOOK_AHEAD = 8
"""Frames."""
DOUBT = (0.2, 0.45)
"""How sure of a contact the network is when it begins to show, and when it is whole."""
WIDTH, DILATIONS = 128, (1, 2, 4, 8, 16, 32)


class Listener(nn.Module):
    """Mel bands to articulation, LOOK_AHEAD frames late."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(BANDS, WIDTH)
        self.layers = nn.ModuleList(nn.Conv1d(WIDTH, 2 * WIDTH, 3, dilation=d) for d in DILATIONS)
        self.leave = nn.Linear(WIDTH, len(CHANNELS))

    def start(self, batch: int = 1) -> list[Tensor]:
        """The state before any sound: what each layer remembers."""
        return [torch.zeros(batch, WIDTH, 2 * d) for d in DILATIONS]

    def hidden(
        self, bands: Float[Tensor, "batch frame 40"], state: list[Tensor]
    ) -> tuple[Float[Tensor, "batch frame width"], list[Tensor]]:
        """What the last layer knows after each frame, and the state after all."""
        known, kept = self.enter(bands).transpose(1, 2), []
        for layer, past in zip(self.layers, state, strict=True):
            heard = torch.cat([past, known], dim=2)
            kept.append(heard[:, :, -past.shape[2] :])
            known = known + functional.glu(layer(heard), dim=1)
        return known.transpose(1, 2), kept

    def forward(
        self, bands: Float[Tensor, "batch frame 40"], state: list[Tensor]
    ) -> tuple[Float[Tensor, "batch frame channel"], list[Tensor]]:
        """Articulation (logits) of the frame LOOK_AHEAD before each one, and the state to go on with."""
        known, kept = self.hidden(bands, state)
        return self.leave(known), kept


class Ear:
    """Mel bands out of a stream of sound."""

    def __init__(self) -> None:
        self._waiting = np.zeros(WINDOW // 2, np.float32)
        self._loud = QUIET

    def bands(self, sound: Float[np.ndarray, " sample"]) -> Float[np.ndarray, "frame 40"]:
        """Those of the frames whose windows are complete now."""
        heard = np.concatenate([self._waiting, sound.astype(np.float32)])
        count = max(0, (len(heard) - WINDOW) // HOP + 1)
        self._waiting = heard[count * HOP :]
        if not count:
            return np.zeros((0, BANDS), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(heard, WINDOW)[: count * HOP : HOP]
        power = np.abs(np.fft.rfft(frames * _hann(), TRANSFORM)) ** 2 @ mel_filters()
        return np.log10(power / self._levels(power.mean(1))[:, None] + FLOOR).astype(np.float32) / 2 + 1

    def _levels(self, power: Float[np.ndarray, " frame"]) -> Float[np.ndarray, " frame"]:
        """The loudest power up to each frame, those long ago counting less."""
        kept = math.exp(-HOP / RATE / FORGETTING)
        found = []
        for loudness in power.tolist():
            self._loud = max(loudness, QUIET, self._loud * kept)
            found.append(self._loud)
        return np.array(found)


class SpeechStream:
    """Articulation of speech that is still going on.

    `push` takes samples as they come and returns the frames (100 a second, from time 0 on) that are known by then;
    `finish` returns the rest. How the sound is cut into pieces changes nothing.
    """

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = listener or shipped_listener()
        self._ear = Ear()
        self._state = self._listener.start()
        self._early = LOOK_AHEAD

    def push(self, sound: Float[np.ndarray, " sample"]) -> Float[np.ndarray, "frame channel"]:
        """RATE samples a second."""
        bands = torch.from_numpy(self._ear.bands(sound))[None]
        if not bands.shape[1]:
            return np.zeros((0, len(CHANNELS)), np.float32)
        with torch.inference_mode():
            logits, self._state = self._listener(bands, self._state)
        known = decided(torch.sigmoid(logits[0, self._early :]).numpy())
        self._early = max(0, self._early - bands.shape[1])
        return known

    def finish(self) -> Float[np.ndarray, "frame channel"]:
        """The frames that waited for more sound; silence stands for it."""
        return self.push(np.zeros(LOOK_AHEAD * HOP + WINDOW // 2, np.float32))


def decided(known: Float[np.ndarray, "frame channel"]) -> Float[np.ndarray, "frame channel"]:
    """The network's doubts about contacts become contacts or none: a lip half closed is neither."""
    free = len(CHANNELS) - CONTACTS
    contacts = (known[:, free:] - DOUBT[0]) / (DOUBT[1] - DOUBT[0])
    return np.concatenate([known[:, :free], contacts.clip(0, 1)], axis=1)


def heard_articulation(
    sound: Float[np.ndarray, " sample"], listener: Listener | None = None
) -> Float[np.ndarray, "frame channel"]:
    """Articulation of a whole sound, 100 frames a second from time 0 on."""
    stream = SpeechStream(listener)
    block = 60 * RATE
    pieces = [stream.push(sound[start : start + block]) for start in range(0, len(sound), block)]
    return np.concatenate([*pieces, stream.finish()])


@cache
def shipped_listener() -> Listener:
    """The network of assets/speech_motion."""
    listener = Listener()
    with as_file(files("assets.speech_motion") / "speech_motion.safetensors") as path:
        listener.load_state_dict(load_file(path))
    return listener.eval()


@cache
def mel_filters() -> Float[np.ndarray, "frequency 40"]:
    """Triangles over the spectrum, evenly spaced on the mel scale (O'Shaughnessy's: 2595 log10(1 + f / 700))."""
    frequencies = np.fft.rfftfreq(TRANSFORM, 1 / RATE)
    low, high = (2595 * math.log10(1 + edge / 700) for edge in (LOWEST, HIGHEST))
    mels = np.linspace(low, high, BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    rising = [(frequencies - below) / (above - below) for below, above in pairwise(edges)]
    filters = [np.minimum(up, 1 - down).clip(0) for up, down in pairwise(rising)]
    return np.stack(filters, axis=1) / WINDOW


@cache
def _hann() -> Float[np.ndarray, " sample"]:
    return np.hanning(WINDOW).astype(np.float32)
