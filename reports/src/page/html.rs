//! Writing HTML so that every element is closed and every text escaped.

/// A document under construction.
#[derive(Default)]
pub(super) struct Html {
    text: String,
}

/// Makes any text safe between tags and in attributes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

impl Html {
    /// Markup as it is.
    pub fn raw(&mut self, markup: &str) {
        self.text += markup;
    }

    /// Text, escaped.
    pub fn text(&mut self, text: &str) {
        self.text += &escape(text);
    }

    /// An element around what `content` writes; `class` may be empty.
    pub fn inside(&mut self, tag: &str, class: &str, content: impl FnOnce(&mut Html)) {
        match class {
            "" => self.raw(&format!("<{tag}>")),
            class => self.raw(&format!("<{tag} class=\"{class}\">")),
        }
        content(self);
        self.raw(&format!("</{tag}>\n"));
    }

    /// An element around a text.
    pub fn element(&mut self, tag: &str, text: &str) {
        self.inside(tag, "", |html| html.text(text));
    }

    /// Paragraphs, separated by empty lines; what stands between backquotes is code.
    pub fn prose(&mut self, text: &str) {
        for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty())
        {
            self.inside("p", "", |html| {
                for (place, part) in paragraph.split('`').enumerate() {
                    match place % 2 {
                        0 => html.text(part),
                        _ => html.raw(&format!("<code>{}</code>", escape(part))),
                    }
                }
            });
        }
    }

    /// The document.
    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_through_unescaped() {
        let mut html = Html::default();
        html.inside("p", "note", |html| html.text("<script>alert(\"1\") & 'x'</script>"));
        html.prose("one\n\n\n two & `three < 4` ");
        assert_eq!(
            html.finish(),
            "<p class=\"note\">&lt;script&gt;alert(&quot;1&quot;) &amp; &#39;x&#39;&lt;/script&gt;</p>\n<p>one</p>\n<p>two &amp; <code>three &lt; 4</code></p>\n"
        );
    }
}
