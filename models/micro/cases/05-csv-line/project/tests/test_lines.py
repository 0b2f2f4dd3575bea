import unittest

from importer.lines import parse_line, parse_table


class LineTest(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(parse_line("a,b,c"), ["a", "b", "c"])
        self.assertEqual(parse_line("one"), ["one"])
        self.assertEqual(parse_line("a,,"), ["a", "", ""])

    def test_quoted(self):
        self.assertEqual(parse_line('"a,b",c'), ["a,b", "c"])
        self.assertEqual(parse_line('"say ""hi""",x'), ['say "hi"', "x"])

    def test_other_separator(self):
        self.assertEqual(parse_line("a;b", ";"), ["a", "b"])

    def test_table(self):
        self.assertEqual(parse_table("name,age\nAnn,31\n"), [{"name": "Ann", "age": "31"}])
