//! Which columns of the features a column of the file became: for whoever speaks of fields of a record
//! rather than of its numbers.

use std::ops::Range;

use super::{Columns, CsvConfig, each_row, has_header, head, label_column};
use crate::data::MAX_BYTES;
use crate::{Result, fs};

/// For each column of the file but the label: its name, and its columns among the features. Without a
/// header the names are `column0`, `column1` and so on, counted as the file has them.
///
/// # Errors
/// As [`super::load`].
pub fn fields(config: &CsvConfig) -> Result<Vec<(String, Range<usize>)>> {
    let bytes = fs::read(&config.path, MAX_BYTES)?;
    parse(config, &bytes).map_err(|e| e.context(config.path.display()))
}

fn parse(config: &CsvConfig, bytes: &[u8]) -> Result<Vec<(String, Range<usize>)>> {
    let head = head(bytes)?;
    let header = has_header(config, &head)?;
    let width = head[0].len();
    let mut columns = Columns::new(width, label_column(config, &head[0], header)?);
    if config.categorical {
        each_row(bytes, header, width, |line, row| columns.observe(line, row))?;
    }
    let name = |column: usize| match header {
        true => head[0][column].to_owned(),
        false => format!("column{column}"),
    };
    Ok(columns.spans().into_iter().map(|(column, span)| (name(column), span)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_span_several_columns() {
        let config = CsvConfig { categorical: true, ..CsvConfig::new("x.csv") };
        let found =
            parse(&config, b"age,home,sex,y\n20,own,f,1\n30,rent,m,0\n40,free,m,1\n").unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        let spans: Vec<Range<usize>> = found.iter().map(|(_, span)| span.clone()).collect();
        assert_eq!(names, ["age", "home", "sex"]);
        assert_eq!(spans, [0..1, 1..4, 4..6]);
        let plain = parse(&CsvConfig::new("x.csv"), b"1,2,0\n3,4,1\n").unwrap();
        assert_eq!(plain, [("column0".to_owned(), 0..1), ("column1".to_owned(), 1..2)]);
    }
}
