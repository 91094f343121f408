//! Source without what does not count: comments, what is quoted, and what is compiled for tests or documentation only.

/// The code of `source`, with blanks in the place of all else, so that lines stay lines.
pub(crate) fn of(source: &str) -> String {
    without_tests(&without_words(source))
}

/// Without comments and what stands in quotes.
fn without_words(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => line_end(bytes, at),
            [b'/', b'*', ..] => comment_end(bytes, at),
            [b'r', rest @ ..] if !is_word(bytes, at) && is_raw(rest) => raw_end(source, at),
            [b'"', ..] => string_end(bytes, at),
            [b'\'', b'\\', ..] => at + 2 + bytes[at + 2..].iter().skip(1).position(|&byte| byte == b'\'').unwrap() + 2,
            [b'\'', _, b'\'', ..] => at + 3,
            _ => {
                let letter = source[at..].chars().next().unwrap();
                code.push(letter);
                at += letter.len_utf8();
                continue;
            }
        };
        code.extend(source[at..end].chars().map(|letter| if letter == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    code
}

/// Without items under `#[cfg(test)]`, `#[cfg(doc)]` and `#[cfg(doctest)]`.
fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    for attribute in ["#[cfg(test)]", "#[cfg(doc)]", "#[cfg(doctest)]"] {
        while let Some(start) = code.find(attribute) {
            let behind = start + attribute.len();
            let end = item_end(code.as_bytes(), behind);
            let blank: String =
                code[start..end].chars().map(|letter| if letter == '\n' { '\n' } else { ' ' }).collect();
            code.replace_range(start..end, &blank);
        }
    }
    code
}

/// Behind the semicolon or the brace that ends an item, or the comma that ends a field, a variant or an arm.
fn item_end(code: &[u8], from: usize) -> usize {
    let is_item = ["mod ", "fn ", "pub", "impl", "struct ", "enum ", "use ", "const ", "type ", "trait ", "#["]
        .iter()
        .any(|word| code[from..].trim_ascii_start().starts_with(word.as_bytes()));
    let mut depth = 0_u32;
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            // The end of what it stands in.
            b'}' | b')' | b']' if depth == 0 => return at,
            b'}' | b')' | b']' => {
                depth -= 1;
                // A list of imports has its semicolon behind the brace.
                if depth == 0 && *byte == b'}' && code.get(at + 1) != Some(&b';') {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            b',' if depth == 0 && !is_item => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |len| at + len)
}

fn comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    loop {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            [_, ..] => at += 1,
            [] => return at,
        }
    }
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn is_raw(behind_r: &[u8]) -> bool {
    behind_r.iter().find(|&&byte| byte != b'#') == Some(&b'"')
}

fn raw_end(source: &str, at: usize) -> usize {
    let hashes = source[at + 1..].bytes().take_while(|&byte| byte == b'#').count();
    let end = format!("\"{}", "#".repeat(hashes));
    let open = at + 1 + hashes + 1;
    source[open..].find(&end).map_or(source.len(), |len| open + len + end.len())
}

/// Whether what is at `at` goes on with a word.
fn is_word(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_alphanumeric() || bytes[before] == b'_')
}

#[test]
fn only_code_is_left() {
    let source = "use a::b; // use c::d;\n/* e /* f */ g */ let h = \"i // \\\" j\"; let k = r#\"l\" m\"#; let n = ['\"', '\\''];\n\
                  #[cfg(test)]\nmod tests {\n    use o::p;\n}\n#[cfg(doc)]\nuse q::{r, s};\nenum V {\n    #[cfg(test)]\n    W(x::Y),\n    Z,\n}\nfn t<'u>() {}";
    let code = of(source);
    assert_eq!(code.lines().count(), source.lines().count());
    let words: Vec<_> = code.split_whitespace().collect();
    assert_eq!(words.join(" "), "use a::b; let h = ; let k = ; let n = [ , ]; enum V { Z, } fn t<'u>() {}");
}
