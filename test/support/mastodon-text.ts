import { RowRandom } from './row-random.ts';

const common = 400;

/** Texts as people write them, names of servers and keys; the same seed makes the same ones. */
export class MastodonText {
  readonly #words: readonly string[];
  readonly domains: readonly string[];

  constructor(seed: number) {
    const random = new RowRandom(seed, 'words');
    this.#words = makeWords(random, 6000);
    this.domains = Array.from(
      { length: 400 },
      (_, at) => `${random.pick(this.#words.slice(0, 3000))}${at}.example`,
    );
  }

  words(random: RowRandom, count: number): string {
    let text = '';
    for (let word = 0; word < count; word++) text += (word > 0 ? ' ' : '') + this.word(random);
    return text;
  }

  word(random: RowRandom): string {
    // Half of a text are common words, as in any language.
    return this.#words[random.chance(0.5) ? random.zipf(common) : random.below(this.#words.length)] as string;
  }

  html(random: RowRandom): string {
    const paragraphs = [`<p>${this.words(random, 8 + random.below(45))}</p>`];
    if (random.chance(0.4)) {
      const user = this.word(random);
      paragraphs.push(
        `<p><span class="h-card"><a href="https://${random.pick(this.domains)}/@${user}" class="u-url mention">@<span>${user}</span></a></span> ${this.words(random, random.below(25))}\n<br />\t"zitat" 100\\% — 日本語のテキスト 🐘</p>`,
      );
    }
    if (random.chance(0.3))
      paragraphs.push(
        `<a href="https://${random.pick(this.domains)}/${random.hexBytes(12)}" rel="nofollow noopener" target="_blank">link</a>`,
      );
    return paragraphs.join('');
  }
}

export function pem(label: string, random: RowRandom, bytes: number): string {
  const body = random
    .bytes(bytes)
    .toString('base64')
    .replaceAll(/(.{64})/g, '$1\n');
  return `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
}

function makeWords(random: RowRandom, count: number): string[] {
  const heads = [
    'b',
    'br',
    'd',
    'f',
    'fl',
    'g',
    'h',
    'k',
    'l',
    'm',
    'n',
    'p',
    'r',
    's',
    'sch',
    'st',
    't',
    'tr',
    'v',
    'w',
    'z',
  ];
  const cores = ['a', 'e', 'i', 'o', 'u', 'ei', 'au', 'ie', 'ä', 'ö'];
  const tails = ['', 'n', 'r', 's', 't', 'ng', 'll', 'ck', 'm', 'ss'];
  return Array.from({ length: count }, () => {
    let word = '';
    const syllables = 1 + random.below(3);
    for (let syllable = 0; syllable < syllables; syllable++)
      word += random.pick(heads) + random.pick(cores) + random.pick(tails);
    return word;
  });
}
