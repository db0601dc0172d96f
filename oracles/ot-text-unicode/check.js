// Checks what Reconverge makes of pairs of operations on a text against ot-text-unicode.
//
// Usage: ot_pairs COUNT SEED | node check.js COUNT
//
// Reads a pair a line, as `strategies/examples/ot_pairs.rs` writes it, and computes everything again with the library. A pair passes where all results
// are the same: operations by their effect, texts by their characters. Prints `N passed, M failed` last; exits 1 where one failed or there were not
// COUNT.
'use strict'

const { type } = require('ot-text-unicode')

const MOST_SHOWN = 20

// The same effect written in one way: where insertions and deletions touch, all insertions come first.
function normal(op) {
  const out = []
  const push = component => {
    const last = out[out.length - 1]
    if (component === '' || component === 0 || component.d === 0) return
    if (typeof last === 'string' && typeof component === 'string') out[out.length - 1] += component
    else if (typeof last === 'number' && typeof component === 'number') out[out.length - 1] += component
    else out.push(component)
  }
  let deleted = 0
  const touched = []
  const flush = () => {
    touched.splice(0).forEach(push)
    push({ d: deleted })
    deleted = 0
  }
  for (const component of op) {
    if (typeof component === 'string') touched.push(component)
    else if (typeof component === 'object') deleted += component.d
    else {
      if (touched.length > 0 || deleted > 0) flush()
      push(component)
    }
  }
  flush()
  if (typeof out[out.length - 1] === 'number') out.pop()
  return out
}

// What the library makes of a pair: the names are those of `ours`.
function theirs({ text, a, b, c }) {
  const textAfterA = type.apply(text, a)
  const textAfterB = type.apply(text, b)
  const aThenC = type.compose(a, c)
  const aLeft = type.transform(a, b, 'left')
  const aRight = type.transform(a, b, 'right')
  const bLeft = type.transform(b, a, 'left')
  const bRight = type.transform(b, a, 'right')
  return {
    aLeft, aRight, bLeft, bRight, aThenC, textAfterA, textAfterB,
    textAfterAThenC: type.apply(textAfterA, c),
    aFirst: type.apply(textAfterB, aLeft),
    bFirst: type.apply(textAfterA, bLeft),
    aFirstAgain: type.apply(textAfterA, bRight),
    bFirstAgain: type.apply(textAfterB, aRight),
  }
}

// The first difference in words, or null.
function difference(pair) {
  const { ours } = pair
  const expected = theirs(pair)
  const names = Object.keys(expected)
  if (Object.keys(ours).length !== names.length) return 'other results than expected'
  for (const name of names) {
    const inOneForm = value => JSON.stringify(Array.isArray(value) ? normal(value) : value)
    const [a, b] = [expected[name], ours[name]].map(inOneForm)
    if (a !== b) return `${name}: expected ${a}, found ${b}`
  }
  // Both ways round the diamond end in one text.
  for (const name of ['aFirst', 'bFirst']) {
    if (ours[name] !== ours[`${name}Again`]) return `${name}: the two ways end in different texts`
  }
  return null
}

// The lines of standard input. (`node:readline` ends lines at U+2028 too, which JSON leaves as it is.)
async function* lines() {
  let rest = ''
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()
    yield* parts
  }
  if (rest !== '') yield rest
}

async function main() {
  const count = Number(process.argv[2])
  if (!Number.isSafeInteger(count) || count < 1) {
    console.error('expected a number: how many pairs there should be')
    process.exit(2)
  }
  let passed = 0
  let failed = 0
  for await (const line of lines()) {
    let found
    try {
      found = difference(JSON.parse(line))
    } catch (error) {
      found = `${error}`
    }
    if (found === null) passed += 1
    else {
      failed += 1
      if (failed <= MOST_SHOWN) console.error(`line ${passed + failed}: ${found}\n  ${line}`)
    }
  }
  if (passed + failed !== count) console.error(`expected ${count} pairs, found ${passed + failed}`)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed > 0 || passed !== count ? 1 : 0
}

main()
