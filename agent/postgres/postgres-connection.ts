import { CodedError } from '../../shared/errors/coded-error.ts';

/** `text`: what may stand on a command line and in a log. `password`: null when libpq finds it by itself, or needs none. */
export type PostgresConnection = { text: string | null; password: string | null };

/**
 * Takes a connection string as libpq reads it (a URI, `keyword=value` pairs, or a database name; null for the
 * environment alone) and moves the password out of it.
 * @throws CodedError CONFIG_INVALID; the message never holds any of the text, since it may hold a password
 * @see https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
 */
export function parsePostgresConnection(text: string | null): PostgresConnection {
  if (text === null || text.trim() === '') return { text: null, password: null };
  const connection = /^postgres(ql)?:\/\//.test(text)
    ? splitUri(text)
    : text.includes('=')
      ? splitPairs(text)
      : { text: checkDatabaseName(text), password: null };
  if (connection.text?.includes('\0') === true || /[\n\r\0]/.test(connection.password ?? '')) {
    throw invalid('it holds a NUL byte, or a password with a line break');
  }
  return connection;
}

/** The connection string for people to see: a password in it is `***`. @throws CodedError CONFIG_INVALID */
export function maskConnectionPassword(connection: string | null): string | null {
  const { text, password } = parsePostgresConnection(connection);
  if (password === null) return connection;
  const start = text ?? '';
  if (!start.includes('://')) return `${start} password=***`.trimStart();
  return `${start}${start.includes('?') ? '&' : '?'}password=***`;
}

const percentHint = 'in a URI, write "@" as %40, "/" as %2F, "?" as %3F and "%" as %25';

function splitUri(text: string): PostgresConnection {
  const scheme = text.slice(0, text.indexOf('://') + 3);
  let rest = text.slice(scheme.length);
  let password: string | null = null;
  let placeStart = 0;
  // As libpq does: credentials reach to the first "@" that comes before any "/".
  const credentialsEnd = rest.search(/[@/]/);
  if (credentialsEnd >= 0 && rest.charAt(credentialsEnd) === '@') {
    const credentials = rest.slice(0, credentialsEnd);
    const colon = credentials.indexOf(':');
    if (colon >= 0) {
      password = decodePercent(credentials.slice(colon + 1));
      rest = credentials.slice(0, colon) + rest.slice(credentialsEnd);
    }
    placeStart = rest.indexOf('@') + 1;
  }
  const question = rest.indexOf('?', placeStart);
  if (rest.slice(placeStart, question < 0 ? undefined : question).includes('@')) {
    // A part of a password would be taken for the host, and be seen on a command line.
    throw invalid('it has an "@" that does not end a user name or password', percentHint);
  }
  if (question >= 0) {
    const kept: string[] = [];
    for (const parameter of rest.slice(question + 1).split('&')) {
      const equals = parameter.indexOf('=');
      const keyword = decodePercent(equals < 0 ? parameter : parameter.slice(0, equals));
      if (keyword === 'password' && equals >= 0) password = decodePercent(parameter.slice(equals + 1));
      else kept.push(checkKeyword(keyword, parameter));
    }
    rest = rest.slice(0, question) + (kept.length > 0 ? `?${kept.join('&')}` : '');
  }
  return { text: scheme + rest, password: password === '' ? null : password };
}

const pair = /\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)?)(?=\s|$)/suy;

function splitPairs(text: string): PostgresConnection {
  const kept: string[] = [];
  let password: string | null = null;
  pair.lastIndex = 0;
  const end = text.trimEnd().length;
  while (pair.lastIndex < end) {
    const found = pair.exec(text);
    if (found === null) throw invalid('it is not a row of keyword=value pairs');
    const keyword = found[1] as string;
    const value = (found[2] ?? found[3] ?? '').replaceAll(/\\(.)/gsu, '$1');
    if (keyword === 'password') password = value;
    else kept.push(checkKeyword(keyword, `${keyword}='${value.replaceAll(/['\\]/g, '\\$&')}'`));
  }
  return { text: kept.length > 0 ? kept.join(' ') : null, password: password === '' ? null : password };
}

/** A mistyped URI would otherwise be taken for a name, password and all. */
function checkDatabaseName(text: string): string {
  if (!/:\/|@/.test(text)) return text;
  throw invalid(
    'it is no URI of the form postgresql://…, and a database name with ":/" or "@" needs dbname=…',
  );
}

function checkKeyword(keyword: string, written: string): string {
  // Something else in this place may be a part of a password.
  if (!/^[a-z0-9_]+$/.test(keyword)) throw invalid('it has a keyword that libpq does not know', percentHint);
  if (keyword !== 'sslpassword') return written;
  throw invalid('it holds sslpassword, which would be seen on a command line', 'put it into a service file');
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('it has a "%" that is not followed by two hexadecimal digits of UTF-8 text');
  }
}

function invalid(problem: string, hint = 'see "Connection Strings" in the manual of PostgreSQL'): CodedError {
  return new CodedError('CONFIG_INVALID', `the PostgreSQL connection string cannot be used: ${problem}`, {
    hint,
  });
}
