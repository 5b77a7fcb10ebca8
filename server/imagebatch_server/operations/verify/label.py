"""Whether the picture shows what a label says, as far as the classifier knows."""

from __future__ import annotations

from collections.abc import Sequence

from imagebatch_server.operations.describe.calibration import Suggestion
from imagebatch_server.operations.describe.medium import Medium
from imagebatch_server.operations.verify.output import Check, cannot_tell, contradicted, supported
from imagebatch_server.operations.verify.words import UnknownWord, load_words

CLASSIFIED: tuple[Medium, ...] = ("photograph", "unknown")
"""What the classifier was made for."""

# Of 231 things that fill a twentieth or more of one of 256 everyday photographs none was contradicted by these, and of
# 266 smaller ones 3; of 12,600 words for what is not in them 558 were, and 6 were supported.
_SURE_FROM = 0.90
_RULED_OUT_BELOW = 0.01


def check_label(label: str, suggestions: Sequence[Suggestion], min_confidence: float) -> Check:
    """Judge by what the classifier suggests, most confident first."""
    words = load_words()
    try:
        meaning = words.find(label)
    except UnknownWord as unknown:
        return cannot_tell("label", f"{unknown}")
    confidence = max((it.confidence for it in suggestions if it.term.name in meaning.terms), default=0.0)
    if confidence >= min_confidence:
        return supported("label", confidence, f'That it shows "{label}" has a probability of {confidence:.2f}.')
    sure = [it for it in suggestions if it.confidence >= _SURE_FROM]
    other = next((it for it in sure if all(words.excludes(it.term.name, term) for term in meaning.terms)), None)
    if other is not None and meaning.is_whole and confidence < _RULED_OUT_BELOW:
        looks = f"It looks like {other.term.phrase} (probability {other.confidence:.2f})"
        return contradicted("label", confidence, f'{looks} and not like "{label}".')
    seen = f"it looks like {sure[0].term.phrase}" if sure else "what it shows was not recognised"
    return cannot_tell("label", f'{seen[:1].upper()}{seen[1:]}; whether it shows "{label}" can\'t be told.')
