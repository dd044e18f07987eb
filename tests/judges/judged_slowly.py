"""P(True) and the pairwise judge once more, slowly and without their code: from the probabilities of whole tokens."""

from __future__ import annotations


def word_of(token):
    kept = ""
    for letter in token:
        if not (letter.isspace() or letter in "\u2581\u0120\"'`*_.,:;()[]"):
            kept += letter
        elif kept:
            kept += "\0"  # something that ends the word; where more letters follow, it is no word of ours
    return kept.rstrip("\0").lower()


def p_true(likeliest):
    """``None`` where neither word is among the candidates."""
    yes = sum(share for token, share in likeliest.items() if word_of(token) == "true")
    no = sum(share for token, share in likeliest.items() if word_of(token) == "false")
    if not yes and not no:
        return None
    other = max(1 - sum(likeliest.values()), 0.0)
    most = min(other, min(likeliest.values()) if len(likeliest) > 1 else 1.0)
    yes, no = yes or most, no or most
    return yes / (yes + no)


def preference(likeliest, levels):
    """How far the second is preferred, from 0 to 1; ``None`` where no digit is among the candidates."""
    weights = {d: sum(s for t, s in likeliest.items() if word_of(t) == str(d)) for d in range(1, levels + 1)}
    total = sum(weights.values())
    return sum((d - 1) / (levels - 1) * weight for d, weight in weights.items()) / total if total else None


def pairwise(answers, asked, levels, both_orders):
    """Scores when each is compared with each. ``asked(a, b)`` gives the candidates of the judge's first token."""
    scores = []
    for own in answers:
        met = []
        for other in answers:
            if own == other:
                continue
            first = answers.index(own) < answers.index(other)
            shares = []
            if both_orders or first:
                forth = preference(asked(own, other), levels)
                shares += [] if forth is None else [1 - forth]
            if both_orders or not first:
                back = preference(asked(other, own), levels)
                shares += [] if back is None else [back]
            met += [sum(shares) / len(shares)] if shares else []
        scores.append(sum(met) / len(met) if met else None)
    return scores
