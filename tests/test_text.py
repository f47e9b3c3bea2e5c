"""Text from elsewhere is shown, and never obeyed."""

import pytest

from initlab.text import mask_password, printable, printable_lines


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:secret@host:5000", "http://user:***@host:5000"),
        ("postgresql://user:s:e:c@host/db", "postgresql://user:***@host/db"),
        ("http://user:s@e/c#r?t@host/db", "http://user:***@host/db"),
        ("http://me@corp.org:secret@host/db", "http://me@corp.org:***@host/db"),
        ("http://:s%40cret@host", "http://:***@host"),
        ("http://u:secret@host/api: me@corp.org", "http://u:***@host/api: me@corp.org"),
        ("mssql://host/db?x=1&Password=secret&y=2", "mssql://host/db?x=1&Password=***&y=2"),
        ("'postgresql://host/db?password=secret'", "'postgresql://host/db?password=***'"),
        ("http://user@host:5000/x", "http://user@host:5000/x"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("12:30 me@corp.org", "12:30 me@corp.org"),
    ],
)  # fmt: skip
def test_a_password_is_never_shown(text, shown):
    assert mask_password(text) == shown
