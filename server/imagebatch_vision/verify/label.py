"""Whether the picture shows what a label says, as far as the models know."""

from __future__ import annotations

from collections.abc import Sequence

from imagebatch_vision.describe.calibration import Suggestion
from imagebatch_vision.describe.medium import Medium
from imagebatch_vision.verify.output import Check, cannot_tell, contradicted, supported
from imagebatch_vision.verify.vocabulary import Meaning, UnknownWord, load_words

RECOGNISED: tuple[Medium, ...] = ("photograph", "unknown")
"""What the models were made for."""

# Of 362 things that fill a twentieth or more of one of 256 everyday photographs (COCO) 4 were contradicted by these,
# and of 364 smaller ones 15; of 19,400 that are not in them half were, and 12 were supported. Of 454 right names and
# kinds in 250 photographs of one thing each none was contradicted, and three quarters were supported.
_SURE_FROM = 0.90
_NOTHING_LIKE_IT = 0.01
_EXCLUDED_BELOW = 0.05


def check_label(label: str, suggestions: Sequence[Suggestion], min_confidence: float) -> Check:
    """Judge by what the models suggest, most confident first."""
    words = load_words()
    try:
        meaning = words.find(label)
    except UnknownWord as unknown:
        return cannot_tell("label", f"{unknown}")
    confidence = max((it.confidence for it in suggestions if it.term.name in meaning.terms), default=0.0)
    if confidence >= min_confidence:
        return supported("label", confidence, f'That it shows "{label}" has a probability of {confidence:.2f}.')
    wider = next((it for it in suggestions if it.term.name in meaning.wider), None)
    if wider is not None and wider.confidence >= min_confidence:
        found = f"It shows {wider.term.phrase} (probability {wider.confidence:.2f})"
        return cannot_tell("label", f'{found}; whether that is "{label}" is not recognised.')
    confidence = max(confidence, wider.confidence if wider else 0.0)  # it is no likelier than what it is a case of
    sure = [it for it in suggestions if it.confidence >= _SURE_FROM]
    other = next((it for it in sure if _rules_out(it.term.name, meaning, confidence)), None)
    if other is not None:
        found = f"It shows {other.term.phrase} (probability {other.confidence:.2f})"
        return contradicted("label", confidence, f'{found} and hardly "{label}" ({confidence:.2f}).')
    seen = f"it shows {sure[0].term.phrase}" if sure else "what it shows was not recognised"
    return cannot_tell("label", f'{seen[:1].upper()}{seen[1:]}; whether it shows "{label}" can\'t be told.')


def _rules_out(found: str, meaning: Meaning, confidence: float) -> bool:
    """Whether a sure sight of `found` leaves no room for what is looked for, which has this confidence."""
    words = load_words()
    return all(
        (confidence < _NOTHING_LIKE_IT and words.is_detectable(term))
        or (confidence < _EXCLUDED_BELOW and meaning.is_whole and words.excludes(found, term))
        for term in meaning.terms | meaning.wider
    )
