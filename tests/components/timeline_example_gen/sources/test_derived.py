"""Years in the texts of items."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.timeline_example_gen.generate import generate_examples
from components.timeline_example_gen.sources.derived import year_in_text
from configs import loader
from configs.errors import UserError


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("Heat (1995)", "1995"),
        ("Amélie (2001) (V)", "2001"),
        ("Heat (1995) [Director's cut]", "1995"),
        ("(1984) (1956)", "1956"),
        ("Series (2005-2013)", "2005"),
        ("Series (2005-)", "2005"),
        ("Series (2005\u2013)  ", "2005"),
        ("2001: A Space Odyssey", None),
        ("Room (12345)", None),
        ("Room (237)", None),
        ("Heat [1995]", None),
        ("Heat (in 1995)", None),
        ("", None),
        (None, None),
    ],
)
def test_the_last_year_in_brackets(text: str | None, year: str | None) -> None:
    assert year_in_text(text) == year


def test_a_year_in_a_title_that_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "activities.csv").write_text("user_id,item_id,timestamp\nu,i,1\n")
    (tmp_path / "items.csv").write_text("item_id,name\ni,Heat (1995)\n")
    config = loader.parse_config(
        """
        data {
          source: CSV
          files { items_file: "items.csv" }
          derived_fields { field: "year" from_field: "title" }
        }
        input {
          activity_feature_groups {
            features { feature_name: "context_item_id" feature_length: 3 }
          }
          label_feature { feature_name: "label_item_id" }
        }
        """
    )
    with pytest.raises(
        UserError, match=r"^data\.derived_fields\.0\.from_field: 'title"
    ):
        generate_examples(config, str(tmp_path), str(tmp_path / "out"))
