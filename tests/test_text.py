"""Text from elsewhere is shown, and never obeyed."""

import pytest

from initlab.text import printable, printable_lines


@pytest.mark.parametrize("text", ["", "init=he seed=0", "±0,1 → ×", "学習率", "naïve", "🙂"])
def test_a_text_of_plain_letters_stays_as_it_is(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jhe", "�[2Jhe"),
        ("\x1b]0;owned\x07", "�]0;owned�"),
        ("\x9b2J", "�2J"),  # the same in one control character of the second set
        ("he\u202eevil", "he�evil"),
        ("\u2066a\u200bb\ufeff", "�a�b�"),
        ("a\rb\nc\td\u2028e\u00a0f", "a b c d e f"),
        ("\ud800\x00\x7f\ue000", "����"),
    ],
)
def test_what_a_terminal_would_obey_can_only_be_seen(text, shown):
    assert printable(text) == shown
    assert printable(text).isprintable()
    printable(text).encode()


def test_the_lines_of_a_message_stay():
    assert printable_lines("one\x1b\n\ttwo\r\n") == "one�\n two \n"
