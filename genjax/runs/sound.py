"""A tune as sound: a plain plucked tone for each note, in a file that any player and browser knows."""

import io
import wave

import numpy as np

from genjax.metrics.abc_notation import Note, Tune

__all__ = ["RATE", "wav"]

RATE = 11_025  # samples a second
WHOLE = 2.0  # seconds of a whole note: 120 quarters a minute
MOST = 20.0  # seconds of a file
OVERTONES = (1.0, 0.5, 0.25, 0.12)  # how loud the multiples of a pitch are
DECAY, EDGE = 0.6, 0.01  # seconds in which a tone falls to 1/e, and in which it begins and ends


def wav(tune: Tune) -> bytes:
    """The first MOST seconds, one voice, 16 bits."""
    tones, seconds = [], 0.0
    for note in _joined(tune.notes):
        length = min(float(note.length) * WHOLE, MOST - seconds)
        if length <= 0:
            break
        seconds += length
        tones.append(_tone(note.pitch, round(length * RATE)))
    sound_T = np.concatenate(tones) / sum(OVERTONES)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((0.8 * 32767 * sound_T).astype("<i2").tobytes())
    return buffer.getvalue()


def _joined(notes: list[Note]) -> list[Note]:
    """Notes of one pitch that are tied sound as one."""
    found: list[Note] = []
    for note in notes:
        if found and found[-1].tied and found[-1].pitch == note.pitch:
            note = note._replace(length=found.pop().length + note.length)
        found.append(note)
    return found


def _tone(pitch: int | None, samples: int) -> np.ndarray:
    if pitch is None:
        return np.zeros(samples)
    second_T, hertz = np.arange(samples) / RATE, 440 * 2 ** ((pitch - 69) / 12)
    waves = (loud * np.sin(2 * np.pi * n * hertz * second_T) for n, loud in enumerate(OVERTONES, 1))
    edge_T = np.minimum(second_T, second_T[::-1]) / EDGE
    return sum(waves) * np.exp(-second_T / DECAY) * edge_T.clip(0, 1)
