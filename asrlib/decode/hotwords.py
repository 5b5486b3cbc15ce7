"""Hot words: a bonus in the beam search for words and phrases that a user expects.

A hypothesis gets `weight` nats for every character with which it spells the beginning of a hot word, and loses them again when it goes on otherwise.
So its bonus is the weight times the characters of the longest hot word at each place where a word may begin, summed over these places.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from flashlight.lib.text.decoder import LM, LMState


@dataclass(eq=False)
class Node:
    """What hot words begin with. gain: characters that count; kept: of them, those of a hot word that has ended; final: a hot word may end here."""

    gain: int = 0
    kept: int = 0
    final: bool = False
    children: dict[str, "Node"] = field(default_factory=dict)

    def loss(self, word_ends: bool) -> int:
        """What a hypothesis loses that leaves the hot words here."""
        return 0 if self.final and word_ends else self.gain - self.kept


Places = tuple[Node, ...]


class Hotwords(LM):
    """A language model with the bonus. Its states are those of `lm`, which has one for every sequence of units.

    units: what each unit of lm adds to the text, with a space before or after words; without any space, a word may begin at every character.
    bonus: of a character, in lm's scale (log10).
    """

    def __init__(self, lm: LM, phrases: Sequence[str], units: Sequence[str], bonus: float):
        LM.__init__(self)
        self.lm, self.units, self.bonus = lm, list(units), bonus
        self.spaced = any(" " in unit for unit in units)
        self.root = Node()
        for phrase in phrases:
            self._add(phrase)
        self.places: dict[LMState, Places] = {}
        self.steps: dict[tuple[Places, int], tuple[Places, int]] = {}

    def _add(self, phrase: str) -> None:
        node = self.root
        for char in phrase:
            node = node.children.setdefault(char, Node(node.gain + 1))
        node.final = True
        self._keep(self.root)

    def _keep(self, node: Node) -> None:
        for char, child in node.children.items():
            child.kept = node.gain if node.final and self._ends(char) else node.kept
            self._keep(child)

    def _ends(self, char: str) -> bool:
        """Whether the word before the character has ended."""
        return char == " " or not self.spaced

    def start(self, start_with_nothing: bool) -> LMState:
        state = self.lm.start(start_with_nothing)
        self.places = {state: (self.root,)}
        return state

    def score(self, state: LMState, unit: int) -> tuple[LMState, float]:
        after, value = self.lm.score(state, unit)
        key = (self.places[state], unit)
        if key not in self.steps:
            self.steps[key] = self._step(*key)
        self.places[after], gain = self.steps[key]
        return after, value + self.bonus * gain

    def _step(self, places: Places, unit: int) -> tuple[Places, int]:
        """The places after a unit, and the characters that it gains."""
        gain = 0
        for char in self.units[unit]:
            if char == " " and self.root in places:  # before the first word, or a second space
                continue
            after = []
            for node in places:
                child = node.children.get(char)
                gain += 1 if child else -node.loss(self._ends(char))
                after += [child] if child else []
            places = (*after, self.root) if self._ends(char) else tuple(after)
        return places, gain

    def finish(self, state: LMState) -> tuple[LMState, float]:
        after, value = self.lm.finish(state)
        return after, value - self.bonus * sum(node.loss(True) for node in self.places[state])
