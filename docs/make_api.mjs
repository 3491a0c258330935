// The API reference: docs/api/*.md, made from the sources' own comments by the TypeScript compiler, one file for each name that the package exports.
//
//   node docs/make_api.mjs           writes the files
//   node docs/make_api.mjs --gaps    lists what the comments do not say
//
// tests/unit/api_reference.test.mjs checks that the files are what this makes, and that nothing is missing. What holds for parameters of the same name everywhere is said once, below.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** Parameters and options that mean the same wherever they stand: name, the types that they must have for it, what is said of them. */
const COMMON = [
  ['model', /^(Model|ByteSource)$/, 'a loaded one'],
  ['tokenizer', /^Tokenizer$/, 'a loaded one'],
  ['text', /^(string|string \| Uint8Array|Uint8Array|Uint8Array \| string)$/, 'a string stands for its UTF-8 bytes; bytes need not be valid UTF-8'],
  ['texts', /./, 'as many as you like; a string stands for its UTF-8 bytes'],
  ['prompt', /^(Prompt|Iterable<number> \| string)$/, 'tokens; a string is encoded with the model’s tokenizer and its special tokens'],
  ['ids', /./, 'tokens, 0..vocabulary - 1'],
  ['id', /^number$/, 'a token, 0..vocabulary - 1'],
  ['signal', /^AbortSignal$/, 'stops the call, which then throws the platform’s AbortError'],
  ['onProgress', /./, 'told how far the call has come'],
  ['options', /./, ''],
  ['g', /^Graph$/, 'the graph that values are added to'],
  ['x', /^Tensor$/, 'a value of the graph'],
  ['rng', /^Rng$/, 'where random numbers come from'],
  ['lab', /^Lab$/, 'what defineLab gave'],
  ['curve', /^Curve$/, 'in order of steps'],
  ['seed', /^number$/, 'of the random numbers: the same seed gives the same result, everywhere'],
  ['dims', /^number\[\]$/, 'a shape, the slowest dimension first'],
  ['axis', /^number$/, 'a dimension; below 0 it counts from the last'],
  ['keep', /^boolean$/, 'the dimension that is reduced stays, with width 1; default false'],
  ['glob', /^string$/, 'a name in which * stands for anything'],
  ['globs', /^(string \| )?string\[\]/, 'names in which * stands for anything'],
  ['specialAsText', /^boolean$/, 'text that spells a special token is ordinary text (Tokenizer.encode)'],
  ['skipSpecialTokens', /^boolean$/, 'leaves special tokens out; default false'],
  ['typeIds', /./, 'kinds of text, one for each token, for encoders that know them (ModelInfo.segments)'],
  ['kv', /./, 'how keys and values are kept (SessionOptions); default f32'],
  ['patch', /^Patch\[\]/, 'changes on the way (Model.run)'],
  ['maxBytes', /^number$/, 'at most so many are made'],
  ['batch', /^number$/, 'rows that are made'],
  ['url', /^string \| URL$/, 'as it was given to Model.load; relative ones to the page'],
];
/** What a custom element must have for the browser, and nobody else calls. */
const LIFE = /^(observedAttributes|(connected|disconnected|adopted|attributeChanged)Callback)$/;

const flat = (/** @type {string} */ text) => text.replace(/\s+/g, ' ').trim();
const comment = (/** @type {ts.JSDocTag | ts.JSDoc} */ node) => ts.getTextOfJSDocComment(node.comment) ?? '';
/** A sentence begins with a capital, but for the name of an option. @param {string} text */
const upper = (text) => (/^[a-z]\w*(, \w+)*( \([^)]*\))?:/.test(text) ? safe(text) : text && safe(text[0].toUpperCase() + text.slice(1)));
/** Where GitHub puts the anchor of a heading. @param {string} title */
export const anchorOf = (title) => title.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-');

/** Outside code no sign stands for markup. @param {string} text */
const safe = (text) => text.split(/(`[^`]*`)/).map((part, i) => (i % 2 ? part : part.replace(/[*<]/g, '\\$&'))).join('');

/** Prose with examples: lines that are indented by two or more are code. @param {string} text */
function prose(text) {
  /** @type {string[]} */ const out = [];
  let code = false;
  for (const line of text.replaceAll('\r', '').split('\n')) {
    const indented = /^ {2,}\S/.test(line);
    if (indented !== code && (indented || line.trim())) {
      out.push(indented ? '\n```' : '```\n');
      code = indented;
    }
    out.push(code ? line.replace(/^ {2,3}/, '') : safe(line.trim()));
  }
  if (code) out.push('```');
  return out.join('\n').replace(/\n{3,}/g, '\n\n').replace(/\n+```$/gm, '\n```').trim();
}

/** The comment at the head of a file, without its marks. @param {ts.SourceFile} file */
function headOf(file) {
  const text = file.text.replace(/^#!.*\n/, '').replace(/^(\/\/ @ts-.*\n)+/, '');
  const block = /^\/\*\*?\n([^]*?)\*\//.exec(text);
  if (block) return block[1].replace(/^ \* ?/gm, '').trimEnd();
  return (/^(\/\/.*\n)+/.exec(text)?.[0] ?? '').replace(/^\/\/ ?/gm, '').trimEnd();
}

/** Everything that is public, as pages and as a list of what they lack. @returns {{pages: Map<string, string>, gaps: string[]}} pages: by path in docs/api */
export function makeApi() {
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  /** @type {{name: string, page: string, files: string[]}[]} */ const entries = [];
  for (const [key, value] of Object.entries(exports)) {
    const target = /** @type {any} */ (value).default;
    if (typeof target !== 'string' || !target.endsWith('.js')) continue;
    const folder = dirname(target);
    const files = target.includes('*') ? readdirSync(join(ROOT, folder)).filter((name) => name.endsWith('.js')).sort().map((name) => join(folder, name)) : [target];
    entries.push({ name: `microtome${key.slice(1)}`, page: `${key === '.' ? 'microtome' : key.slice(2).split('/')[0]}.md`, files });
  }
  const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
  const program = ts.createProgram(entries.flatMap(({ files }) => files.map((file) => join(ROOT, file))), options), checker = program.getTypeChecker();
  /** @type {string[]} */ const gaps = [];
  const ours = (/** @type {ts.Node} */ node) => !relative(join(ROOT, 'web'), node.getSourceFile().fileName).startsWith('..');
  const pathOf = (/** @type {ts.Node} */ node) => relative(ROOT, node.getSourceFile().fileName);

  // ---- names of types, and the pages that they are told on ----

  /** @type {Map<ts.Symbol, {page: string, title: string}>} */ const places = new Map();
  /** Types by page, in the order in which they were met. @type {Map<string, ts.Symbol[]>} */ const types = new Map(entries.map(({ page }) => [page, []]));

  /** Through re-exports and `@typedef {import(...)} Name` to what is meant. @param {ts.Symbol | undefined} symbol @returns {ts.Symbol | undefined} */
  function meant(symbol) {
    for (let i = 0; symbol && i < 10; i++) {
      if (symbol.flags & ts.SymbolFlags.Alias) { symbol = checker.getAliasedSymbol(symbol); continue; }
      const tag = symbol.declarations?.find(ts.isJSDocTypedefTag), type = tag?.typeExpression && ts.isJSDocTypeExpression(tag.typeExpression) ? tag.typeExpression.type : undefined;
      if (!type || !ts.isImportTypeNode(type) || !type.qualifier || type.typeArguments?.length) break;
      symbol = checker.getSymbolAtLocation(ts.isIdentifier(type.qualifier) ? type.qualifier : type.qualifier.right) ?? symbol;
    }
    return symbol;
  }

  /** The type as it is written, with links. @param {ts.TypeNode} node @param {string} page @returns {string} */
  function typeText(node, page) {
    const source = node.getSourceFile().text;
    /** @type {{from: number, to: number, name: string, symbol: ts.Symbol | undefined}[]} */ const names = [];
    /** @param {ts.Node} at */
    function visit(at) {
      if (ts.isImportTypeNode(at) && at.qualifier) {
        const last = ts.isIdentifier(at.qualifier) ? at.qualifier : at.qualifier.right;
        names.push({ from: at.getStart(), to: last.end, name: last.text, symbol: meant(checker.getSymbolAtLocation(last)) });
        at.typeArguments?.forEach(visit);
      } else if (ts.isTypeReferenceNode(at) && ts.isIdentifier(at.typeName)) {
        names.push({ from: at.typeName.getStart(), to: at.typeName.end, name: at.typeName.text, symbol: meant(checker.getSymbolAtLocation(at.typeName)) });
        at.typeArguments?.forEach(visit);
      } else ts.forEachChild(at, visit);
    }
    visit(node);
    let out = '', at = node.getStart();
    const plain = (/** @type {string} */ text) => { const words = flat(text.replace(/\n\s*\*/g, ' ')), lead = /^\s/.test(text) ? ' ' : '', tail = /\s$/.test(text) ? ' ' : ''; return words && `\`${lead}${words}${tail}\``; };
    for (const { from, to, name, symbol } of names) {
      const place = symbol && placeOf(symbol, page);
      out += plain(source.slice(at, from)) + (place ? `[\`${name}\`](${place.page === page ? '' : place.page}#${anchorOf(place.title)})` : `\`${name}\``);
      at = to;
    }
    return (out + plain(source.slice(at, node.end))).replaceAll('``', '');
  }

  /** Where a type is told; a new one is told where it is first met. @param {ts.Symbol} symbol @param {string} page @returns {{page: string, title: string} | null} null: not ours */
  function placeOf(symbol, page) {
    const known = places.get(symbol);
    if (known) return known;
    const declaration = symbol.declarations?.find((one) => ts.isJSDocTypedefTag(one) || ts.isJSDocCallbackTag(one) || ts.isClassDeclaration(one));
    if (!declaration || !ours(declaration)) return null;
    if (!(symbol.flags & ts.SymbolFlags.Class) && declaration.parent && symbol.flags & ts.SymbolFlags.TypeParameter) return null;
    const name = symbol.name === 'default' ? 'default' : symbol.name;
    const taken = [...places.values()].some((one) => one.page === page && one.title === `type ${name}`);
    const place = { page, title: taken ? `type ${name} (${pathOf(declaration)})` : `type ${name}` };
    places.set(symbol, place);
    types.get(page)?.push(symbol);
    return place;
  }

  // ---- what comments say ----

  /** @param {ts.Node} node */
  const docsOf = (node) => /** @type {ts.JSDoc[]} */ (ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc)).slice(-1);
  const isInternal = (/** @type {ts.Node} */ node) => ts.getJSDocTags(node).some((tag) => tag.tagName.text === 'internal');
  /** @param {ts.Node} node */
  const describe = (node) => prose(docsOf(node).map(comment).join('\n'));

  const typeOfReturn = (/** @type {ts.SignatureDeclaration} */ node) => {
    const signature = checker.getSignatureFromDeclaration(node);
    return signature ? checker.typeToString(checker.getReturnTypeOfSignature(signature), undefined, ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope).replace(/import\("[^"]*"\)\./g, '') : 'unknown';
  };

  /** Names of an inline object type's properties. @param {ts.TypeNode | undefined} node @returns {string[]} */
  const propertiesOf = (node) => (!node ? [] : ts.isTypeLiteralNode(node) ? node.members.flatMap((one) => (one.name && ts.isIdentifier(one.name) ? [one.name.text] : [])) : ts.isIntersectionTypeNode(node) || ts.isUnionTypeNode(node) ? node.types.flatMap(propertiesOf) : ts.isParenthesizedTypeNode(node) ? propertiesOf(node.type) : []);

  /**
   * A function's parameters, result and errors as a list. @param {ts.SignatureDeclaration} node @param {string} what for the list of gaps @param {string} page @param {string} told the description
   * @returns {string[]}
   */
  function contract(node, what, page, told) {
    /** @type {string[]} */ const lines = [];
    const tags = ts.getJSDocTags(node), paramTags = tags.filter(ts.isJSDocParameterTag), mentions = (/** @type {string} */ text, /** @type {string} */ name) => new RegExp(`(?<![\\w$])${name.replace('$', '\\$')}(?![\\w$])`).test(text);
    const paramOf = (/** @type {ts.ParameterDeclaration} */ one, /** @type {number} */ i) => (ts.isIdentifier(one.name) ? paramTags.find((tag) => tag.name.getText() === /** @type {ts.Identifier} */ (one.name).text) : paramTags[i]);
    node.parameters.forEach((one, i) => {
      const tag = paramOf(one, i), type = tag?.typeExpression?.type, name = tag?.name.getText() ?? one.name.getText();
      if (!tag || !type) { gaps.push(`${what}: parameter ${flat(name)} has no @param`); return; }
      const written = flat(type.getText()).replace(/import\('[^']*'\)\./g, ''), own = flat(comment(tag)), common = COMMON.find(([n, of]) => n === name && /** @type {RegExp} */ (of).test(written.replace(/=$/, '')));
      const missing = propertiesOf(type).filter((property) => !mentions(own, property) && !mentions(told, property) && !COMMON.some(([n]) => n === property));
      if (missing.length) gaps.push(`${what}: ${name}: nothing is said of ${missing.join(', ')}`);
      const named = ts.isTypeReferenceNode(type) || ts.isImportTypeNode(type) || ts.isIntersectionTypeNode(type);
      const says = own || (common ? /** @type {string} */ (common[2]) : '');
      if (!says && !common && !mentions(told, name) && !named && !propertiesOf(type).length) gaps.push(`${what}: nothing is said of parameter ${name}`);
      const optional = tag.isBracketed || !!one.initializer || !!one.questionToken;
      lines.push(`- \`${one.dotDotDotToken ? '...' : ''}${name}\`${optional ? ' (optional)' : ''}: ${typeText(type, page)}${says ? `. ${upper(says)}` : ''}`);
    });
    const result = tags.find(ts.isJSDocReturnTag), inferred = ts.isConstructorDeclaration(node) ? 'void' : typeOfReturn(node);
    if (result?.typeExpression || result) {
      const says = flat(comment(result)), written = result.typeExpression?.type;
      lines.push(`- returns ${written ? typeText(written, page) : `\`${inferred}\``}${says ? `: ${safe(says)}` : ''}`);
      const missing = says || told ? propertiesOf(written).filter((property) => !mentions(says, property) && !mentions(told, property) && !COMMON.some(([n]) => n === property)) : propertiesOf(written);
      if (missing.length) gaps.push(`${what}: result: nothing is said of ${missing.join(', ')}`);
    } else if (!['void', 'Promise<void>'].includes(inferred)) lines.push(`- returns \`${inferred}\``);
    if (/\bany\b/.test(inferred) && !result) gaps.push(`${what}: the result has no type`);
    const body = 'body' in node && node.body && ts.isBlock(/** @type {ts.Node} */ (node.body)) ? /** @type {ts.Block} */ (node.body) : null;
    if (body && /\bthrow new MicrotomeError\(/.test(body.getText()) && !tags.some(ts.isJSDocThrowsTag) && !/\bE[A-Z]{3,}\b/.test(told)) gaps.push(`${what}: it throws, and no @throws says what`);
    for (const tag of tags.filter(ts.isJSDocThrowsTag)) lines.push(`- throws ${tag.typeExpression ? typeText(tag.typeExpression.type, page) : ''}: ${safe(flat(comment(tag)))}`);
    return lines;
  }

  const signatureOf = (/** @type {ts.SignatureDeclaration} */ node) => `(${node.parameters.map((one, i) => {
    const tag = ts.getJSDocTags(node).filter(ts.isJSDocParameterTag)[i], name = ts.isIdentifier(one.name) ? one.name.text : tag?.name.getText() ?? 'options';
    return `${one.dotDotDotToken ? '...' : ''}${name}${one.initializer || one.questionToken || tag?.isBracketed ? '?' : ''}`;
  }).join(', ')})`;

  /** @param {string} what @param {string} text */
  const needText = (what, text) => { if (!text) gaps.push(`${what}: no description`); return text; };

  /** A typed value. @param {ts.Node} node @param {string} page */
  function typed(node, page) {
    const tag = ts.getJSDocTags(node).find(ts.isJSDocTypeTag);
    if (tag) return typeText(tag.typeExpression.type, page);
    return `\`${checker.typeToString(checker.getTypeAtLocation(node), undefined, ts.TypeFormatFlags.NoTruncation).replace(/import\("[^"]*"\)\./g, '')}\``;
  }

  // ---- classes, functions, values ----

  /** @param {ts.ClassDeclaration} node @param {string} name @param {string} page @param {string} level of headings @param {string} [head] what the file's head says, of properties too @returns {string[]} */
  function members(node, name, page, level, head = '') {
    /** @type {string[]} */ const out = [], /** @type {string[]} */ fields = [], /** @type {string[]} */ methods = [], seen = new Set();
    const object = name[0].toLowerCase() + name.slice(1);
    for (const member of node.members) {
      if (ts.isConstructorDeclaration(member)) {
        if (isInternal(member)) continue;
        const told = describe(member), list = contract(member, `new ${name}`, page, told);
        if (list.length || told) methods.unshift([`${level} new ${name}${signatureOf(member)}`, told, list.join('\n')].filter(Boolean).join('\n\n'));
        continue;
      }
      if (!member.name || ts.isPrivateIdentifier(member.name) || isInternal(member)) continue;
      const fixed = !!(ts.getCombinedModifierFlags(/** @type {ts.Declaration} */ (member)) & ts.ModifierFlags.Static), key = ts.isComputedPropertyName(member.name) ? `[${member.name.expression.getText()}]` : member.name.getText();
      if (key.startsWith('_') || LIFE.test(key) || (new RegExp(`\\b${key.replace('$', '\\$')}\\b`).test(head) && !describe(member))) continue;
      const what = `${name}.${key}`;
      if (ts.isMethodDeclaration(member)) {
        const told = needText(what, describe(member) || flat(ts.getJSDocTags(member).filter(ts.isJSDocReturnTag).map(comment).join(' '))), list = contract(member, what, page, told);
        const title = `${fixed ? name : object}${key.startsWith('[') ? '' : '.'}${key}${signatureOf(member)}`;
        methods.push([`${level} ${title}`, describe(member), list.join('\n')].filter(Boolean).join('\n\n'));
      } else if (ts.isPropertyDeclaration(member) || ts.isGetAccessor(member) || ts.isSetAccessor(member)) {
        if (seen.has(key)) continue;
        seen.add(key);
        const pair = node.members.filter((one) => one.name?.getText() === key), told = flat(pair.map((one) => describe(one) || flat(ts.getJSDocTags(one).filter((tag) => ts.isJSDocReturnTag(tag) || ts.isJSDocTypeTag(tag) || ts.isJSDocParameterTag(tag)).map(comment).join(' '))).filter(Boolean).join(' '));
        needText(what, told);
        const returns = pair.flatMap((one) => ts.getJSDocTags(one)).find((tag) => ts.isJSDocReturnTag(tag) && tag.typeExpression);
        const type = returns ? typeText(/** @type {ts.JSDocTypeExpression} */ (/** @type {ts.JSDocReturnTag} */ (returns).typeExpression).type, page) : typed(member, page);
        if (/`any(\[\])?`/.test(type)) gaps.push(`${what}: its type is not said`);
        const changes = ts.isPropertyDeclaration(member) ? '' : pair.some(ts.isSetAccessor) ? (pair.some(ts.isGetAccessor) ? ' (may be set)' : ' (is set)') : '';
        fields.push(`- \`${key}\`${fixed ? ' (of the class)' : ''}${changes}: ${type}${told ? `. ${told}` : ''}`);
      }
    }
    if (fields.length) out.push(fields.join('\n'));
    return [...out, ...methods];
  }

  /** @param {ts.Symbol} symbol @param {string} name as it is exported @param {string} page @returns {string} */
  function section(symbol, name, page) {
    const node = symbol.valueDeclaration ?? symbol.declarations?.[0];
    if (!node) throw new Error(`${name} is declared nowhere`);
    const inside = ts.isVariableDeclaration(node) ? node.initializer : undefined, body = inside && ts.isParenthesizedExpression(inside) ? inside.expression : inside;
    const callable = ts.isFunctionDeclaration(node) ? node : body && (ts.isArrowFunction(body) || ts.isFunctionExpression(body)) ? body : null;
    const told = describe(node);
    if (callable) {
      const says = needText(name, told || flat(ts.getJSDocTags(callable).filter(ts.isJSDocReturnTag).map(comment).join(' ')));
      return [`### ${name}${signatureOf(callable)}`, told, contract(callable, name, page, says).join('\n')].filter(Boolean).join('\n\n');
    }
    needText(name, told);
    if (ts.isClassDeclaration(node)) return [`### ${name}`, told, ...members(node, name, page, '####')].filter(Boolean).join('\n\n');
    const list = body && ts.isObjectLiteralExpression(body) ? body.properties.flatMap((one) => {
      const made = ts.isPropertyAssignment(one) ? one.initializer : one;
      if (!ts.isArrowFunction(made) && !ts.isMethodDeclaration(made) && !ts.isFunctionExpression(made)) return [];
      const key = /** @type {ts.PropertyName} */ (one.name).getText(), says = needText(`${name}.${key}`, describe(one));
      return [`#### ${name}.${key}${signatureOf(made)}`, says, contract(made, `${name}.${key}`, page, says).join('\n')].filter(Boolean);
    }) : [];
    return [`### ${name}`, told, list.length ? '' : typed(node, page), ...list].filter(Boolean).join('\n\n');
  }

  /** @param {ts.Symbol} symbol @param {string} page @returns {string} */
  function typeSection(symbol, page) {
    const { title } = /** @type {{title: string}} */ (places.get(symbol)), declaration = /** @type {ts.Declaration} */ (symbol.declarations?.find((one) => ts.isJSDocTypedefTag(one) || ts.isJSDocCallbackTag(one) || ts.isClassDeclaration(one)));
    if (ts.isClassDeclaration(declaration)) return [`### ${title}`, needText(title, describe(declaration)), ...members(declaration, symbol.name, page, '####')].filter(Boolean).join('\n\n');
    const tag = /** @type {ts.JSDocTypedefTag} */ (declaration), holder = tag.parent && ts.isJSDoc(tag.parent) ? tag.parent : undefined;
    const before = holder?.tags?.[0] === tag ? comment(holder) : '', after = ts.isJSDocTypedefTag(tag) && tag.typeExpression && ts.isJSDocTypeLiteral(tag.typeExpression) ? '' : comment(tag);
    const told = prose([before, after].filter(Boolean).join('\n')), what = `type ${symbol.name}`;
    const type = tag.typeExpression;
    if (type && ts.isJSDocTypeLiteral(type)) {
      const list = (type.jsDocPropertyTags ?? []).map((one) => {
        const property = /** @type {ts.JSDocPropertyTag} */ (one), name = property.name.getText(), says = flat(comment(property)), of = property.typeExpression?.type;
        return `- \`${name}\`${property.isBracketed ? ' (optional)' : ''}: ${of ? typeText(of, page) : '`unknown`'}${says ? `. ${upper(says)}` : ''}`;
      });
      return [`### ${title}`, told, list.join('\n')].filter(Boolean).join('\n\n');
    }
    if (!type || !ts.isJSDocTypeExpression(type)) { gaps.push(`${what}: has no type`); return `### ${title}`; }
    return [`### ${title}`, typeText(type.type, page), told].filter(Boolean).join('\n\n');
  }

  // ---- pages ----

  /** @type {Map<string, string>} */ const pages = new Map();
  /** @type {{entry: typeof entries[number], exported: {symbol: ts.Symbol, name: string, file: string}[]}[]} */ const all = entries.map((entry) => ({
    entry,
    exported: entry.files.flatMap((file) => {
      const source = /** @type {ts.SourceFile} */ (program.getSourceFile(join(ROOT, file))), module = checker.getSymbolAtLocation(source);
      return module ? checker.getExportsOfModule(module).map((one) => ({ symbol: /** @type {ts.Symbol} */ (meant(one)), name: one.name, file })).filter(({ symbol }) => symbol.flags & ts.SymbolFlags.Value && !symbol.declarations?.every(isInternal)) : [];
    }),
  }));
  // The whole module comes first: what a smaller one exports as well is told there.
  const order = [...all].sort((a, b) => Number(b.entry.name === 'microtome') - Number(a.entry.name === 'microtome'));
  /** @type {Map<ts.Symbol, {page: string, title: string}>} */ const told = new Map();
  for (const { entry: { page }, exported } of order)
    for (const { symbol, name } of exported) {
      if (told.has(symbol)) continue;
      const node = symbol.valueDeclaration, place = { page, title: node && ts.isClassDeclaration(node) ? name : '' };
      told.set(symbol, place);
      if (place.title) places.set(symbol, place);
    }

  const MADE = '<!-- made by docs/make_api.mjs from the comments in the sources: change those -->';
  for (const { entry: { name, page, files }, exported } of order) {
    const elements = files.length > 1;
    /** @type {Map<string, typeof exported>} */ const byFile = new Map(elements ? files.map((file) => [file.replace(/^\.\//, ''), []]) : []);
    /** @type {string[]} */ const elsewhere = [];
    for (const one of exported) {
      const home = told.get(one.symbol), file = elements ? one.file.replace(/^\.\//, '') : pathOf(/** @type {ts.Node} */ (one.symbol.valueDeclaration ?? one.symbol.declarations?.[0]));
      if (home && home.page !== page) { elsewhere.push(`[\`${one.name}\`](${home.page}${home.title ? `#${anchorOf(home.title)}` : ''})`); continue; }
      byFile.set(file, [...(byFile.get(file) ?? []), one]);
    }
    /** @type {string[]} */ const out = [`# ${elements ? name.replace('*', 'NAME') : name}`, MADE];
    if (!elements) out.push(prose(headOf(/** @type {ts.SourceFile} */ (program.getSourceFile(join(ROOT, files[0]))))));
    out.push(`Conventions that hold everywhere: [the list of pages](README.md).`);
    if (elsewhere.length) out.push(`Also exported by another name of the package, and told there: ${elsewhere.join(', ')}.`);
    for (const [file, list] of byFile) {
      const source = /** @type {ts.SourceFile} */ (program.getSourceFile(join(ROOT, file))), head = prose(headOf(source));
      const element = /customElements\.define\('([a-z-]+)'|define\('(mt-[a-z-]+)'/.exec(source.text), tag = element?.[1] ?? element?.[2];
      const own = ts.isSourceFile(source) && join(ROOT, file) === join(ROOT, files[0]) && !elements;
      out.push(`## ${tag ?? file}`, own ? '' : head, `[${file}](../../${file})`);
      if (!head && !own) gaps.push(`${file}: no comment at its head`);
      if (tag) {
        const node = /** @type {ts.ClassDeclaration | undefined} */ (source.statements.find((one) => ts.isClassDeclaration(one) && one.heritageClauses?.some((clause) => /HTMLElement/.test(clause.getText()))));
        if (node) out.push(...members(node, tag, page, '###', head));
      }
      for (const one of list) {
        const node = one.symbol.valueDeclaration;
        if (tag && node && ts.isClassDeclaration(node)) continue;
        out.push(section(one.symbol, one.name, page));
      }
    }
    const list = types.get(page) ?? [];
    if (list.length) {
      out.push('## Types');
      for (let i = 0; i < list.length; i++) out.push(typeSection(list[i], page)); // more are met on the way
    }
    pages.set(page, `${out.filter(Boolean).join('\n\n')}\n`);
  }
  const rows = all.map(({ entry: { name, page, files }, exported }) => `| \`${name}\` | [${page}](${page}) | ${files.length > 1 ? `${files.length} modules` : exported.map((one) => `\`${one.name}\``).join(', ')} |`);
  pages.set('README.md', `${[
    '# API reference', MADE,
    'Every public name, with what it takes, gives and throws, made from the comments in the sources. Types for editors and compilers come with the package (`types/`).',
    ['| import from | page | names |', '|---|---|---|', ...rows].join('\n'),
    '## What holds everywhere',
    ['- Texts are bytes: a string stands for its UTF-8 bytes, and bytes need not be valid UTF-8. Log-probabilities are natural; sizes are bytes; times are milliseconds where a name says so.',
      '- Tables of numbers are typed arrays, row-major: in a shape `[a, b]` the last index runs fastest. T tokens, D width, H heads, V vocabulary, L layers.',
      '- Errors are `MicrotomeError` with a `code` (ERANGE: a value that cannot be; EUNKNOWN: a name that is not known; EFORMAT: a file that is not what it should be; EMISSING; EUNSUPPORTED; ELIMIT; ENOMEM; ESTATE; EIO, EHTTP) and a message that says what, where and what was expected. An option that a call does not know is an error. What is stopped throws the platform’s `AbortError`. A handle stays usable after any error.',
      ...COMMON.filter(([, , says]) => says).map(([one, , says]) => `- \`${one}\`: ${says}.`)].join('\n'),
  ].join('\n\n')}\n`);
  return { pages, gaps };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { pages, gaps } = makeApi();
  if (process.argv.includes('--gaps')) console.log(gaps.join('\n'));
  else {
    mkdirSync(join(ROOT, 'docs/api'), { recursive: true });
    for (const [page, text] of pages) writeFileSync(join(ROOT, 'docs/api', page), text);
    console.log(`docs/api: ${pages.size} files`);
  }
}
