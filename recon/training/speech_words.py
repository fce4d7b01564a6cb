"""Words of which random sentences are made to train the speech network: common ones, written down for this project."""

from __future__ import annotations

_ENGLISH = """
a about above after again all almost always among amount and angry animal answer any apple apron arm army around
arrive autumn away baby back badge bag balloon bamboo banana band bank barn basket bath beach beam bear beautiful
because become bed bedroom bee before begin behind believe bell below bench beside better between beyond big bird
birthday bitter black blanket blossom blue board boat body bomb bone book boot border bottle bottom bowl box boy
branch brave bread breakfast breathe bridge bring broom brother brown bubble bucket build burn bus business busy
butter button buy by cabbage cabin calm camel camera camp candle captain careful carpet carrot castle chair change
cheap cheese cherry chimney choose church circle city climb clock cloud club coffee cold comb come compare copper
corner cotton could count cousin cover crab creep cup cupboard curtain daughter deep december different dinner dish
doctor dog dolphin door double down dream drum early earth easy egg eight elbow empty engine enough evening every
explain eye face family famous farm father feather february feed fever few field fifteen film find finger finish fire
fish five flag flower fly fog follow food foot forest forget fork form forty forward four fox free fresh friday friend
from frozen fruit full funny future game garden gather gift girl give glove goat gold good grape grass green grow
guitar half hammer hand happy harbour harvest have heart heavy help high hill home honey hope horse house how huge
humble hundred hungry idea important in inside iron island jacket jam january jealous join joke judge juice jump june
jungle just keep key kitchen knee know ladder lake lamb lamp large laugh leaf learn leave lemon leopard letter library
life lift light lion lip listen little lobster long lose loud love lunch machine make mama man many map marble march
market marry matter maybe meadow meal measure meet melon member memory message metal middle milk million mind minute
mirror miss mix mob mobile moment monday money monkey month moon more morning most mother mountain mouse mouth move
much mud museum mushroom music must my name narrow near neighbour never new nice night nine no noble noise north nose
nothing notice november now number oak oats obey object ocean october of office often oil old olive on once one onion
only open orange orchard order other our out oven over own page paint pair palm pan paper parcel park part party past
path patient pay pea peace pear pebble pen pencil people pepper perfect perhaps person phone photo piano pick picture
piece pig pillow pilot pink pipe place plain plan plant plate play please plum pocket poem point polite pond pool poor
pop porch possible postman potato pour powder prepare present pretty price prince problem promise proud public pull
pump pumpkin pupil puppy purple push put puzzle quarter queen question quick quiet rabbit radio railway rain raspberry
reach read really red remember reply rest ribbon rice rich ride right ring river road robe robin rock roof room root
rope rose rough round row rub ruby rule run sad sailor salt same sand save say scarf school scissors sea season second
secret see seem sell send september seven shall shape share sharp she sheep shelf shine ship shirt shoe shop short
should shoulder show shower sick silver simple since sing sister six skirt sky sleep slipper slow small smell smile
smoke smooth snow so soap sofa soft soldier some son song soon soup south space spoon spring square stamp star start
station stay step stone stop storm story strange straw street strong such sudden sugar summer sun supper sure surprise
swan sweet swim table tail take talk tall tea teach team tell temple ten than thank that the their them then there
these they thick thief thin thing think third thirsty this those thousand three through throw thumb thunder thursday
ticket tiger time tiny to today together tomato tomorrow tonight too tooth top towel tower town train travel tree
triangle trip trouble trousers true trumpet try tub tuesday tulip tune turn twelve twenty two umbrella uncle under
until up upon upper use valley van vase vegetable very village violin visit voice vowel wait walk wall want warm wash
watch water wave way we weak wear weather web wednesday week well west wet wheel when where which while whisper white
who whole why wide wife wild win wind window wing winter wise wish with wolf woman wonder wood wool word work world
would wrap write yard year yellow yes yesterday yoghurt you young your zebra zero zoo
"""
_GERMAN = """
aber abend alle als am anfang apfel arbeit auch auf auge baum bei beide bein beispiel berg besuch bett bild birne bis
bitte blau bleiben blume boden boot brauchen breit brief bringen brot bruder brücke buch bunt dach danke das dein der
die dorf drei dunkel durch ein eltern ende er erde es essen familie farbe fenster ferien feuer finden fisch flasche
fluss frage frau freund früh fuß für gabel ganz garten geben gehen gelb gemüse gern geschichte gestern gib glück gold
groß grün gut haben hand haus heben heft heute himmel hoch hund ich ihm immer in jahr jeder junge kaffee kalt kamel
kaufen kein kind kirche klein kommen kopf kuchen küche lachen lampe land lang laufen leben leise lernen lieben machen
mädchen mama mann mehr mein milch mit morgen mund musik mutter nacht nahe name neben neu nicht oben obst öffnen ohne
oma opa papa papier pferd pflanze platz probe puppe rad regen reich rot ruhe sagen salz sand schiff schlafen schnee
schön schreiben schuh schule schwarz schwester sehen sie singen sommer sonne spiel sprechen stadt stein stern stimme
straße stuhl suppe tag tasche teller tisch topf traum über übung um und unser vater viel vogel vor wald wandern warm
warum wasser weg weiß wenig wer wind winter wir wissen woche wohnung wolke wort wunderbar zahl zeit zimmer zwei
"""
_FRENCH = """
à absolument ami amour ancien animal après arbre argent attendre au aussi avec avion avoir bain balle banque bateau
beau beaucoup bébé besoin bien blanc bleu bois boîte bon bonjour bouche boulanger bouteille bras bruit campagne carte
chambre champ chanson chapeau chat cheval chien chose ciel cinq coeur combien comme comment compter content couleur
cuisine dans déjà demain dent depuis deux devant dimanche dire donner dormir douce eau école elle encore enfant
ensemble est été fable famille femme fenêtre feu feuille fille fleur forêt frère froid fromage fruit garçon gens grand
guitare herbe heure hiver homme ici il jambe jardin jaune je jeu jeune jour jupe lait lampe légume lettre lire livre
loin long lumière lundi lune madame main maintenant maison maman manger marché matin membre même mer merci mère midi
miel moi mois monde montagne montrer mot mouton mur musique neige nez noir nom notre nous nouveau nuit oiseau ombre
oncle orange oublier oui ouvrir pain papa papier par parler partir pas pauvre peau pendant père petit peu peur pied
pierre place plage plante plein pleurer pluie plus poire poisson pomme porte pour premier prendre près printemps
proche quand quatre que rêve rien rivière robe rouge route rue sable sac semaine sept si simple soeur soir soleil
sombre soupe sur table temps terre tête tomber toujours tout train trop trouver tu un vache vent verre vert vie vieux
village ville vin visage vite voir voiture vous vrai yeux
"""
_SPANISH = """
abajo abierto abuela agua ahora aire alegre alma alto amable amarillo amigo año árbol arroz aunque azul bajo barco
beber bien blanco boca bosque brazo bueno buscar caballo cabeza cada calle cama cambio camino campo canción cantar
casa cielo cinco ciudad claro comer como compañero comprar con contar corazón correr cosa cuando cuatro cuerpo dar de
deber decir del desde día dinero dormir dos dulce el ella empezar en entre escribir escuela este fácil familia feliz
flor fruta fuego fuente gato gente grande guapo guitarra gustar haber hablar hacer hambre hasta hermano hielo hijo
hoja hombre hora hoy huevo invierno jardín joven jugar lado lámpara largo leche leer lejos libro limpio lluvia luna
luz madre mañana mano mapa mar mejor memoria mesa mi miedo mientras mirar mismo montaña mover mucho mujer mundo música
nada naranja negro nieve niño noche nombre nosotros nube nuevo número ojo otro padre pájaro palabra pan papel para
parte pequeño perder perro pero piedra pierna plato playa pluma poco poder poner por primavera primero problema puente
puerta queso quien rápido recibir rey río rojo ropa saber sal sombra sombrero sopa subir sueño también tarde tiempo
tierra tomar trabajo tren uno uva vaca valle vaso ventana verano verde vestido viaje vida viejo viento vivir volver
voz y zapato
"""
_POLISH = """
ale babcia bać bardzo biały biblioteka bieg blisko brat brzeg bułka burza być chleb chłopiec chmura ciepły cisza córka
cukier czas czekać czerwony człowiek dach dać daleko dobry dom droga drzewo duży dziadek dziecko dzień dziewczyna głos
głowa góra gruszka herbata i imię jabłko jak jechać jeść jutro kamień kapelusz kawa książka kiedy klucz kobieta kolor
koń kot krzesło kuchnia kupić kwiat lampa las lato list łódź lubić ludzie mama mały mapa masło matka miasto mieć
miejsce mleko moje morze most mówić muzyka myśleć na nasz nic niebo noc noga nowy obiad obok obraz ogień ogród ojciec
okno on ono owca pan papier park pierwszy pies pisać plaża po pod pogoda pokój pole pomidor pomoc popołudnie potem
praca prawda przez przyjaciel ptak pytać ręka robić rodzina rower ryba rzeka samochód ser siostra śnieg słońce słowo
spać stary stół syn szkoła szukać szybko śpiewać świat tak tam teraz trawa trzy tutaj ulica umieć usta wakacje widzieć
wieczór wielki wiosna woda wracać wszystko zamek zawsze zegar zielony zima zupa życie żona
"""
_SWEDISH = """
aldrig alla arbete att av äpple barn bära bäst bil björn blå blomma bok bord bra bred bro bror bröd bygga båt dag
dansa de den dörr dricka du där efter eld en fader fem fin finna fisk flicka flod fönster fågel för fram fråga
främmande från full gammal ge glad god golv grön gul gå göra hand han hav heta himmel hjälp hjärta hon hund hus häst
höst i ibland in ingen inte ja jag jobb jord kaffe kall katt klocka komma kort kyrka kök köpa lampa land lång läsa
lätt leva lilla liv ljus lova lunch lära mamma man mat med men mer minnas mitt mjölk morgon mor musik mycket måne
många namn natt nej ny nu nära och om ord ost papper pappa park pengar plats pojke på regn resa rum röd sjunga sjö
skepp skog skola skriva sko sju snabb snö sol som sommar sova spela sten stjärna stor stol sväng svår syster säga söt
ta tack tid till tre träd tunn tyst under upp vacker vad varm vatten vem vecka vinter vit vän väg åka år öga öppna
över
"""
_DUTCH = """
aan aarde achter alleen als appel arm avond bad bakker beginnen been berg beter bij blauw blij blijven bloem boek boer
boom boot bos boven brief broer brood brug buiten buurman daar dag dak de deur dit dorp drie drinken duin een eerste
eten familie feest fiets film fles fluit gaan geel geld geven gisteren goed gras groen groot haar hand hart haven heel
helpen hemel hier hond hoofd huis hun ijs in jaar jas jong jongen kaas kamer kat keuken kind klein klok koffie komen
koning kop kopen koud kunnen lachen lamp land lang laten leven lezen licht lief lopen lucht maan maand maar maken mama
man markt meer meisje melk mens met mijn moeder moment mond mooi morgen muziek naam naar nacht niet nieuw nu oma om
onder ook oog opa open oud over paard papa papier park peer plaats plant poort pot praten raam regen rijk rivier rood
rustig samen schaap schip school schrijven sneeuw snel soep spelen stad steen stem ster stoel straat strand suiker
tafel tante tijd tuin twee uit vader vallen vandaag veel ver vis vlag vogel vol voor vraag vriend vrouw vuur wachten
wandelen warm water week weg werk wij wind winkel winter wit woord zacht zee zien zij zingen zon zomer zout zuster
zwart
"""
_PORTUGUESE = """
abrir água ainda alegre algum alto amanhã amar amarelo amigo ano antes aqui arroz árvore avó azul baixo banco barco
bastante beber bem boa bolo bom bonito braço branco cabeça cada café caminho campo cantar carro carta casa cedo céu
chave chuva cidade cinco claro coisa com comer como comprar contar copo coração corpo correr criança dar de dedo
dentro depois dia dinheiro dizer dois dormir ela em embora ensinar entre escola escrever esperar este família fazer
feliz festa filho flor floresta fogo folha forte frio fruta gato gente gostar grande hoje homem hora ideia inverno
irmão jantar jardim jogo jovem lado lago laranja leite lembrar ler livro longe lua lugar luz mãe maior mais manhã mão
mapa mar medo melhor menino mês mesa mesmo montanha mostrar muito mulher mundo música nada não neve noite nome nosso
novo número nuvem olho onde ontem ouvir pai pão papel para parede parte pássaro pé pedra peixe pequeno perder perto
pessoa pobre pomba ponte por porta praia prato preto primavera problema pulo quando quatro queijo quente rápido rio
rosa roupa rua saber sal sapato sempre ser sol sombra sopa subir também tarde tempo terra tomar trabalho trem tudo
último um uva vaca velho vento verão verde vermelho viagem vida vinho viver voltar voz
"""
_TURKISH = """
abla açık adam ağaç akşam altı anne araba arkadaş at ay baba bahar bahçe balık bardak baş beyaz bin bir biraz biz boş
bu bugün bulut burada burun büyük cam çay çiçek çocuk çok çorba dağ defter demek deniz ders dost duvar düşünmek ekmek
el elma en erkek ev fakat film gece gelmek gemi genç göl gökyüzü görmek göz güzel gün güneş haber hafif hava hayat hep
her hızlı iki ince insan ip iş iyi kadın kahve kalem kapı kar kardeş kedi kırmızı kış kitap kız kolay köpek köprü köy
kum kuş küçük lamba limon mavi masa mektup merhaba meyve müzik ne nehir okul okumak olmak oda orman oyun ördek öğle
pamuk para park pembe peynir pencere portakal renk resim rüya rüzgar saat sabah sarı ses sevmek sıcak sokak soru söz
su süt şapka şarkı şehir şimdi tabak taş tatlı top toprak uzak uzun üç üzüm var ve vapur yağmur yaprak yavaş yaz yemek
yeni yeşil yıldız yol yumurta zaman zor
"""
_FINNISH = """
aamu aika aina aurinko auto avain äiti ääni edessä ehkä ei elokuu elämä ensi hauska he hedelmä helppo heti hevonen
hiekka hopea huomenna huone hyvä hämärä ihminen ilma ilta ja jalka joki joku joulu jää järvi kahvi kaksi kala kalpea
kaunis kaupunki kauppa keltainen kesä kevät kieli kirja kirje kissa kivi koira koko kolme kompassi koti koulu kukka
kuka kuin kulta kuu kylmä kylä käsi lapsi lampi lampaat lattia laulu leipä lento leveä lintu loma lumi lyhyt lämmin
maa maailma maito mansikka matka me meri metsä mies minä missä musta mutta muistaa mukava nainen neljä nimi nopea
nuori nyt nähdä olla omena opettaja oppia ovi paha paljon pallo paperi pehmeä pelto peruna pieni pilvi pimeä pipo
pitkä poika polku puhua puisto puu puuro pyörä päivä pöytä rakas ranta rauha ruoka saari sade samanlainen sana sata
sauna se sieni silmä silta sinä sisko sininen sota suuri suomi syksy syödä sydän taivas talo talvi tammi tarina tie
tuoli tuttu tuuli tyttö työ tähti uida uni uusi vaate valkoinen valo vanha vasta vesi viisi viikko vihreä voida vuori
vuosi yksi ystävä yö
"""
_CZECH = """
ale auto babička banka barva bílý blízko bota bratr brzy březen buben být čaj čas černý červený člověk cesta chléb
chlapec chodit cukr dědeček děti dívka dlouhý dnes dobrý dům doma dopis dveře dva hlava hodina hora hrát hruška hudba
hvězda jablko jak jaro jeden jídlo jméno kamarád kámen káva kdo klobouk kniha kočka kolo kost koupit král krásný
kuchyně květ lampa led les léto lidé list loď máma malý mapa máslo matka mezi město mléko mluvit moc moře most motýl
mrak muž my na nebe nic noc noha nový obchod oheň okno oko on opice otec ovoce pán papír park pátek pes píseň pivo
pláž pod pole pomoc poslouchat pospíchat potok pracovat pravda první pták ptát ráno ruka růže rychle ryba řeka říct
sestra sklo slon slovo slunce sníh sobota spát stát starý stěna strom stůl svět sýr šest škola špatně tady teplý tráva
tři ucho ulice umět úsměv v vajíčko večer velký veselý vidět víno vlak voda vlna vůz všechno zahrada zelený zima zítra
země žena židle život
"""
_ITALIAN = """
acqua albero allegro alto amare amico amore anche andare anno aperto aria arrivare bambina bambino barca basso bello
bene bere bianco bocca borsa bosco braccio buono caldo cambiare camera campo cane cantare capelli capire casa cavallo
cena chiamare chiaro chiave cielo cinque città colore come comprare con coraggio corpo correre cosa credere cucina
cuore dare davanti dente dentro dire dolce domani donna dopo dormire dove due erba estate fame famiglia fare felice
festa figlio finestra fiore fiume foglia forte fratello freddo frutta fuoco gamba gatto gente giallo giardino giocare
giorno giovane grande guardare idea ieri imparare insieme inverno isola lago lampada latte leggere lento lettera libro
lontano luce lungo luna madre mamma mano mangiare mare mattina meglio memoria mese mettere mondo montagna morbido
mostrare musica nave nebbia nero neve noi nome notte nuovo nuvola occhio oggi ombra onda ora orso ottimo padre pane
papà parlare parola partire passo pecora pensare per perché pesce piccolo piede pieno pietra pioggia piove pomodoro
ponte porta povero prato prendere presto prima primavera problema pronto quando quattro ragazzo ridere rosa rosso
sabbia sale sapere scarpa scuola sempre sera settembre sole sorella sotto spiaggia stanza stella strada subito tavola
tempo terra testa tre treno trovare tutto umano uomo uovo uva vaso vecchio vedere vento verde vestito viaggio vicino
villaggio vino vita vivere voce volare zio
"""

WORDS: dict[str, tuple[str, ...]] = {
    language: tuple(text.split())
    for language, text in {
        "en": _ENGLISH,
        "de": _GERMAN,
        "fr": _FRENCH,
        "es": _SPANISH,
        "pl": _POLISH,
        "sv": _SWEDISH,
        "nl": _DUTCH,
        "pt": _PORTUGUESE,
        "tr": _TURKISH,
        "fi": _FINNISH,
        "cs": _CZECH,
        "it": _ITALIAN,
    }.items()
}
"""By language, in the order of their alphabets."""
