// The playground's request as a curl command and as Python, quoted so that any text survives.
window.PlaygroundCode = (() => {
  const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

  // JSON strings are Python strings, except for the characters that JSON leaves as they are.
  function python(value, indent = "    ") {
    if (value === true) return "True";
    if (value === false) return "False";
    if (value === null) return "None";
    if (Array.isArray(value)) {
      const inner = value.map((item) => `${indent}    ${python(item, `${indent}    `)},`).join("\n");
      return `[\n${inner}\n${indent}]`;
    }
    if (value && typeof value === "object") {
      return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item, indent)}`).join(", ")}}`;
    }
    return JSON.stringify(value);
  }

  function show(baseUrl, path, body) {
    const { stream, stream_options, ...rest } = body;
    const call = path.endsWith("/chat/completions") ? "chat.completions" : "completions";
    const fields = Object.entries(rest).map(([name, value]) => `    ${name}=${python(value)},`).join("\n");
    const said = call === "completions" ? "chunk.choices[0].text" : 'chunk.choices[0].delta.content or ""';
    document.querySelector("#code-curl").textContent = [
      `curl -N ${shell(`${baseUrl}${path.slice(3)}`)} \\`,
      '  -H "Authorization: Bearer $SLIPWAY_TOKEN" \\',
      "  -H 'Content-Type: application/json' \\",
      `  -d ${shell(JSON.stringify({ ...rest, stream: true }, null, 2))}`,
    ].join("\n");
    document.querySelector("#code-python").textContent = [
      "import os",
      "",
      "from openai import OpenAI",
      "",
      `client = OpenAI(base_url=${JSON.stringify(baseUrl)}, api_key=os.environ["SLIPWAY_TOKEN"])`,
      `stream = client.${call}.create(`,
      fields,
      "    stream=True,",
      ")",
      "for chunk in stream:",
      `    print(${said}, end="", flush=True)`,
    ].join("\n");
  }

  return { show };
})();
