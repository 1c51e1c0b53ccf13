"""`evaluation.json`: typed, with one reader and one writer."""

from align.evaluation.record.file import EVALUATION_FILE, ITEMS_FILE, Record, as_json, read_record, write_record

__all__ = ["EVALUATION_FILE", "ITEMS_FILE", "Record", "as_json", "read_record", "write_record"]
