//! A table before it is HTML or Markdown.

/// Head and rows of cells; the first columns are text, the others are numbers.
#[derive(Debug, Default)]
pub(crate) struct Grid {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    text_columns: usize,
}

impl Grid {
    pub(crate) fn new(head: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            head: head.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
            text_columns: 1,
        }
    }

    /// With text in all columns.
    pub(crate) fn of_text(head: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let grid = Self::new(head);
        Self {
            text_columns: grid.head.len(),
            ..grid
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn to_html(&self) -> String {
        let cells = |tag: &str, cells: &[String]| -> String {
            cells
                .iter()
                .map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)))
                .collect()
        };
        let mut html = format!(
            "<div class=\"table\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n",
            cells("th", &self.head)
        );
        for row in &self.rows {
            html += &format!("<tr>{}</tr>\n", cells("td", row));
        }
        html + "</tbody></table></div>\n"
    }

    pub(crate) fn to_markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|c| markdown(c)).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rules: Vec<String> = (0..self.head.len())
            .map(|column| {
                let is_text = column < self.text_columns;
                if is_text { "---" } else { "---:" }.to_owned()
            })
            .collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        line(&self.head) + &line(&rules) + &rows
    }
}

/// Text as Markdown shows it.
pub(crate) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Text as HTML shows it.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            _ => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_break_out() {
        let mut grid = Grid::new(["a"]);
        grid.row(["<b>|\"&".to_owned()]);
        assert!(grid.to_html().contains("<td>&lt;b&gt;|&quot;&amp;</td>"));
        assert!(grid.to_markdown().ends_with("| \\<b\\>\\|\"\\& |\n"));
    }

    #[test]
    fn columns_of_text_stand_left() {
        let numbers = Grid::new(["target", "speed"]).to_markdown();
        assert!(numbers.ends_with("| --- | ---: |\n"), "{numbers}");
        let text = Grid::of_text(["target", "flags"]).to_markdown();
        assert!(text.ends_with("| --- | --- |\n"), "{text}");
    }
}
